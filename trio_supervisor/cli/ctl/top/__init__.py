"""``tsupervisorctl top``: a full-screen view that is updated as things happen."""
