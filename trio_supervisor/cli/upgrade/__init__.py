"""tsupervisorctl upgrade: the daemon replaces its program by another version of itself."""
