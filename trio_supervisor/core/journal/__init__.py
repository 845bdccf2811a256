"""The journal: entries, the part that is kept in memory, and the chain of causes."""
