"""Output of children: their pipes, channels and subscribers."""
