"""Where output and the daemon's own records go, and how they are found and read again."""
