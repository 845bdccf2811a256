"""survive = adopt: what is kept for the next daemon, and the programs of one that was killed."""
