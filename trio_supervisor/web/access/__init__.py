"""Who may do what over HTTP: passwords, host names, origins and limits on attempts."""
