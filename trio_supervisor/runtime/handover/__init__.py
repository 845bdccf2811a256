"""Handing a running supervisor over to the next program, and taking one over."""
