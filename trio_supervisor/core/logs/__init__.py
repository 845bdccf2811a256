"""Lines of logs: positions that survive rotation, times, and several outputs as one sequence."""
