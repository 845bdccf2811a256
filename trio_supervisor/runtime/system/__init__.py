"""Files, sockets, threads and descriptors of the operating system, with care for their traps."""
