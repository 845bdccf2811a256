"""Access control over HTTP: passwords, host names, origins and limits of login attempts."""
