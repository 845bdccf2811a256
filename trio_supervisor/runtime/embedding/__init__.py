"""For programs that embed a supervisor: the block, programs from Python values, jobs, logging."""
