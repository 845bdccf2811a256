"""What children write: their pipes, channels and subscribers."""
