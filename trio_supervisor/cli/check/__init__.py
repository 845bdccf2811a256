"""``tsupervisord --check``: every mistake in a configuration, and what the host lacks for it."""
