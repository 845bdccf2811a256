"""Cgroups of programs: the subtree of the daemon, and the nodes of its processes."""
