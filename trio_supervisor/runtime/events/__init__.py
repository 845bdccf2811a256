"""How events travel: the bus, listener pools, streams for code in the same program."""
