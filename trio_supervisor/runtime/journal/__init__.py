"""The journal: its writer, and the views that clients get."""
