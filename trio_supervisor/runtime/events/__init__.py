"""Delivery of events: the bus, listener pools, streams for code in the same program."""
