"""Measures trio-supervisor beside Supervisor 4.3.0, in alternation, with the same configuration.

    __main__      the command line: what to run, how often, and the printed answer
    scenarios/    one module per question; the table of them is in its ``__init__``
    scenario      what a scenario is, and how its runs alternate
    subjects      the two daemons: how to start, watch and end one
    reference     Supervisor 4.3.0 in a virtual environment of its own
    probe         looking at a running daemon: XML-RPC over its socket, and /proc
    report        medians, ratios and the table (pure)

Nothing of this is part of the installed package.
"""
