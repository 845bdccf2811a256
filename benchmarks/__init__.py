"""Benchmarks of trio-supervisor and Supervisor 4.3.0, in alternation, with one configuration.

    __main__         command line: select scenarios, run them, print the tables
    scenarios/       one module per scenario; the table of scenarios is in its ``__init__``
    scenario         the type ``Scenario``, and the alternation of runs
    launched         a supervisor as a process: wait for its programs, and end all of it
    subjects         the two daemons, their configuration and requests to them
    installation     packages of other supervisors, installed on demand
    supervisor_venv  Supervisor 4.3.0 in a virtual environment
    probe            observation of a running daemon: XML-RPC over its socket, and /proc
    starts           files that tell when they are executed
    load             XML-RPC load over TCP
    report           medians, ratios and the table (pure)
    crowd            separate benchmark: one client among many others
    embedded         separate benchmark: a supervisor inside a trio program
    others           separate benchmark: boot and memory beside other supervisors
    contenders       those other supervisors, and their configuration
    floor            separate benchmark: what bare trio needs for the same tasks

The benchmarks are not part of the installed package.
"""
