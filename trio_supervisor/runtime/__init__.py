"""Trio, file descriptors and processes. Knows nothing of HTTP, XML or the command line."""
