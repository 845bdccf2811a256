"""Rules of a process's life, as values and pure decisions."""
