"""``tsupervisorctl``. Imports neither trio nor h11 nor xmlrpc.client: it must start fast."""
