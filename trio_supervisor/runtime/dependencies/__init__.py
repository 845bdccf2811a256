"""Starts and stops in the order of the dependencies, while the supervisor runs."""
