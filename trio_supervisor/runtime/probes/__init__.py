"""Readiness and health of programs: tries, checks, messages. Loaded for those that have them."""
