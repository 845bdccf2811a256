"""Safe use of files, sockets, threads and descriptors of the operating system."""
