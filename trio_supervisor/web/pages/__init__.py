"""What people see in a browser: status page, log page, and their live data."""
