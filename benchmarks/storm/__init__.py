"""A storm: a real daemon with a hundred programs that use every policy, under seeded disturbances.

Everything that can go wrong on a busy server goes wrong at once: children are killed, flood their
pipes, close them, fork and ignore TERM; clients start, stop, apply, read logs and hang up;
listeners misbehave; logs are moved, deleted and made read-only; a disk fills; descriptors and
process slots run out; the clock jumps. Meanwhile and afterwards what the daemon says is compared
with what happened: each line is in its log once, each event and each entry of the journal is true,
no zombie or descriptor is left, the memory does not grow.

``python -m benchmarks.storm --minutes 2 --seed 1``. The seed decides what is done and in which
order; the system decides when, so a failure is likely, not certain, to come again with its seed.

* ``fleet``: the configuration, with the programs (``actor.py``) and listeners (``recorder.py``,
  ``troublemaker.py``), scripts that the daemon runs;
* ``disturbances``: the table of all that is done to the daemon and its programs;
* ``truth``: what each program itself has recorded;
* ``lines``, ``history``, ``health``: the invariants.
"""
