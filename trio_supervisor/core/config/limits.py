"""Resources that a child may use, as values of the model.

Every limit is None, or False, if the option is not written: the child then has what the daemon has.
"""

from __future__ import annotations

from trio_supervisor.core.dataclass import dataclass

#: Value of a limit that is none, as the resource module has it.
UNLIMITED = -1
#: Its name in files.
UNLIMITED_NAME = "unlimited"

#: Limits of ``setrlimit`` by what they count, in the order in which a child sets them. NPROC is the
#: last: it counts all processes of the user, which may be more than the limit already.
RLIMITS = {
    "as": "bytes of address space",
    "core": "bytes of a core dump",
    "cpu": "seconds of processor time",
    "data": "bytes of data segments",
    "fsize": "bytes of a file that it writes",
    "memlock": "bytes locked in memory",
    "msgqueue": "bytes of POSIX message queues of its user",
    "nice": "20 minus the lowest nice value that it may set",
    "nofile": "open descriptors, plus one",
    "rss": "bytes of resident memory; Linux ignores it",
    "rtprio": "real-time priority that it may set",
    "rttime": "seconds of processor time without a blocking call, under a real-time policy",
    "sigpending": "queued signals of its user",
    "stack": "bytes of its stack",
    "nproc": "processes and threads of its user",
}


@dataclass(frozen=True, slots=True)
class Rlimit:
    """Soft and hard value of one limit, in the unit that ``RLIMITS`` tells."""

    soft: float
    hard: float

    def __str__(self) -> str:
        """Return the value as a configuration file has it."""
        soft, hard = (
            UNLIMITED_NAME if value == UNLIMITED else str(value).removesuffix(".0")
            for value in (self.soft, self.hard)
        )
        return soft if soft == hard else f"{soft}:{hard}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits and scheduling priority of a child."""

    rlimit_as: Rlimit | None = None
    rlimit_core: Rlimit | None = None
    rlimit_cpu: Rlimit | None = None
    rlimit_data: Rlimit | None = None
    rlimit_fsize: Rlimit | None = None
    rlimit_memlock: Rlimit | None = None
    rlimit_msgqueue: Rlimit | None = None
    rlimit_nice: Rlimit | None = None
    rlimit_nofile: Rlimit | None = None
    rlimit_nproc: Rlimit | None = None
    rlimit_rss: Rlimit | None = None
    rlimit_rtprio: Rlimit | None = None
    rlimit_rttime: Rlimit | None = None
    rlimit_sigpending: Rlimit | None = None
    rlimit_stack: Rlimit | None = None
    nice: int | None = None
    """From -20 (served first) to 19."""
    oom_score_adj: int | None = None
    """From -1000 (never killed for lack of memory) to 1000."""
    no_new_privs: bool = False
    die_with_supervisor: bool = False
    memory_max: int | None = None
    """Bytes that it and all that it starts may use together."""
    memory_high: int | None = None
    """Bytes from which on it is slowed down."""
    cpu_max: float | None = None
    """Number of processors."""
    pids_max: int | None = None
    """Number of processes and threads."""

    @property
    def are_of_cgroup(self) -> bool:
        """Whether there is one that only a cgroup, or somebody who watches, can keep."""
        if self is NO_LIMITS:  # asked several times at each start
            return False
        own = (self.memory_max, self.memory_high, self.cpu_max, self.pids_max)
        return any(limit is not None for limit in own)

    def rlimits(self) -> list[tuple[str, int, int]]:
        """Name, soft and hard value of each limit that is set, as ``setrlimit`` takes them.

        In the order of ``RLIMITS``.
        """
        if self is NO_LIMITS:
            return []
        limits = ((name, getattr(self, f"rlimit_{name}")) for name in RLIMITS)
        return [
            (name, _for_kernel(name, limit.soft), _for_kernel(name, limit.hard))
            for name, limit in limits
            if limit is not None
        ]


def _for_kernel(name: str, value: float) -> int:
    return round(value * 1e6) if name == "rttime" and value != UNLIMITED else int(value)


#: The limits of all processes without such options, shared.
NO_LIMITS = Limits()
