"""Programs and the daemon as files of other service managers. Pure."""
