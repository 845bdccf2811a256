"""Log files, syslog and the activity log: writing, rotating, finding and reading them."""
