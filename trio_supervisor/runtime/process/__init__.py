"""The life of one process, and waiting for what becomes of it."""
