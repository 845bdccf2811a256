"""Descriptions of processes and of the supervisor, for people and programs."""
