"""The table of ``top``: rates computed from two samples of all processes, sorted and filtered.

Pure: knows no terminal, no clock, no daemon.
"""

from __future__ import annotations

from trio_supervisor.cli.ctl.text import duration, plain, size

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

#: The order of rows sorted by state: failures first, states without need for attention last.
STATE_ORDER = (
    "FATAL",
    "BACKOFF",
    "UNKNOWN",
    "EXITED",
    "STOPPING",
    "STARTING",
    "RUNNING",
    "STOPPED",
)
#: The end of Supervisor's text about a child that exited early. Redundant here, because the last
#: line of the log is shown beside it.
LOG_HINT = " (process log may have details)"
#: Seconds for which a change counts as recent.
RECENT = 60
#: States in which there is a child whose resource usage is known.
ALIVE = frozenset({"RUNNING", "STARTING", "STOPPING"})


class Row:
    """One process at the time of the last sample."""

    def __init__(
        self, details: dict[str, Any], before: dict[str, Any] | None, seconds: float
    ) -> None:
        """``details`` come from ``tsupervisor.getAllProcessDetails``; ``before`` is the sample
        taken ``seconds`` ago, None if there was none.
        """
        self.name: str = details["full_name"]
        self.details = details
        self.state: str = details["statename"]
        self.alive = self.state in ALIVE
        self.flapping: str = details.get("flapping", "")
        """How often it is restarted because it goes wrong; empty if that is not often."""
        self.uptime: int = details["uptime"]
        self.restarts: int = details["restarts"]
        self.memory: int = details["memory"]
        self.cpu: float | None = None
        """Percent of one processor; None while there is only one sample of this child."""
        self.output: float | None = None
        """Bytes per second."""
        if before is not None and seconds > 0:
            if self.alive and details["pid"] == before["pid"]:
                used = details["cpu_seconds"] - before["cpu_seconds"]
                # The total drops when a descendant exits, because its processor time goes with it.
                self.cpu = max(0.0, 100 * used / seconds)
            written = _written(details) - _written(before)
            if written >= 0:  # otherwise the daemon was restarted and counts from 0
                self.output = written / seconds

    @property
    def is_recent(self) -> bool:
        """Whether its child was started, or has ended, within the last RECENT seconds."""
        details = self.details
        return bool(details["now"] - max(details["start"], details["stop"]) < RECENT)

    @property
    def last_line(self) -> str:
        """The last line of output."""
        lines = self.details["last_output"].rstrip().splitlines()
        return plain(lines[-1]) if lines else ""

    @property
    def reason(self) -> str:
        """Return why the process is not running, without the hint at the log."""
        return plain(self.details["reason"].replace(LOG_HINT, ""))


def _written(details: dict[str, Any]) -> int:
    count: int = details["stdout_bytes"] + details["stderr_bytes"]
    return count


class Column:
    """A column: its title, its width in cells and the function that gives its text.

    On a narrow terminal columns with a high ``rank`` are dropped first. ``sort`` gives the key to
    sort rows by, most interesting first; None means that the table cannot be sorted by it.
    """

    def __init__(
        self,
        title: str,
        width: int,
        text: Callable[[Row], str],
        sort: Callable[[Row], Any] | None = None,
        *,
        rank: int = 0,
        right: bool = True,
        usage: bool = False,
    ) -> None:
        self.title = title
        self.width = width
        self.text = text
        self.sort = sort
        self.rank = rank
        self.right = right
        self.usage = usage
        """The column describes a child. Without a child the reason is shown in its place."""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _least(value: float | None) -> float:
    """Return a key that sorts in descending order, with None at the end."""
    return 1.0 if value is None else -value


NAME = Column("NAME", 0, lambda row: row.name, lambda row: (), right=False)
STATE = Column(
    "STATE",
    8,
    lambda row: row.state,
    lambda row: (not row.flapping, STATE_ORDER.index(row.state)),
    rank=1,
    right=False,
)
UPTIME = Column(
    "UPTIME",
    8,
    lambda row: duration(row.uptime) if row.alive else "",
    lambda row: (not row.alive, row.uptime),
    rank=4,
    usage=True,
)
CPU = Column(
    "CPU%",
    6,
    lambda row: _number(row.cpu, ".1f") if row.alive else "",
    lambda row: _least(row.cpu),
    rank=2,
    usage=True,
)
MEMORY = Column(
    "MEM",
    5,
    lambda row: size(row.memory) if row.alive else "",
    lambda row: -row.memory,
    rank=3,
    usage=True,
)
RESTARTS = Column("RESTARTS", 8, lambda row: str(row.restarts), lambda row: -row.restarts, rank=5)
OUTPUT = Column(
    "LOG/s",
    5,
    lambda row: "-" if row.output is None else size(row.output),
    lambda row: _least(row.output),
    rank=6,
    usage=True,
)
PID = Column("PID", 7, lambda row: str(row.details["pid"]) if row.alive else "", rank=8, usage=True)
PROCESSES = Column(
    "PROCS",
    5,
    lambda row: str(row.details["processes"]) if row.alive else "",
    rank=9,
    usage=True,
)
LAST_LINE = Column("LAST OUTPUT", 0, lambda row: row.last_line, rank=7, right=False)

#: From left to right.
COLUMNS = (
    NAME, STATE, RESTARTS, UPTIME, CPU, MEMORY, OUTPUT, PID, PROCESSES, LAST_LINE,
)  # fmt: skip


class Table:
    """The rows of all processes, sorted and filtered as the user has chosen."""

    def __init__(self) -> None:
        self.sort = STATE
        self.reverse = False
        self.filter = ""
        """Only names that contain this are shown, in any case; empty shows all."""
        self.selected = ""
        """The name of the row that keys act on; empty if there are no rows."""
        self.all_rows: list[Row] = []
        self.rows: list[Row] = []
        """Sorted and filtered."""
        self._details: dict[str, dict[str, Any]] = {}
        self._time = 0.0

    def sample(self, details: Iterable[dict[str, Any]], now: float) -> None:
        """Add a sample; ``now`` is in seconds of a monotonic clock."""
        before, seconds = self._details, now - self._time
        self._details = {row["full_name"]: row for row in details}
        self._time = now
        self.all_rows = [Row(row, before.get(name), seconds) for name, row in self._details.items()]
        self.arrange()

    def arrange(self) -> None:
        """Filter and sort again; call it after a change of ``filter``, ``sort`` or the samples."""
        where = self.position
        wanted = self.filter.lower()
        key = self.sort.sort or NAME.sort
        assert key is not None
        rows = [row for row in self.all_rows if wanted in row.name.lower()]
        rows.sort(key=lambda row: row.name)
        if self.sort is not NAME:
            rows.sort(key=key)
        self.rows = rows[::-1] if self.reverse else rows
        if self.row is None:
            self._select(where)  # the selected process is gone: select its neighbour

    def sort_by(self, column: Column) -> None:
        """Sort by a column; the current column again reverses the order."""
        self.reverse = column is self.sort and not self.reverse
        self.sort = column
        self.arrange()

    @property
    def row(self) -> Row | None:
        """The selected row; None if there are no rows."""
        return next((row for row in self.rows if row.name == self.selected), None)

    @property
    def position(self) -> int:
        """The index of the selected row; 0 if there is none."""
        names = [row.name for row in self.rows]
        return names.index(self.selected) if self.selected in names else 0

    def move(self, steps: int) -> None:
        self._select(self.position + steps)

    def _select(self, position: int) -> None:
        position = max(0, min(position, len(self.rows) - 1))
        self.selected = self.rows[position].name if self.rows else ""

    @property
    def totals(self) -> list[tuple[str, int]]:
        """The number of processes in each state that occurs, failures first."""
        states = [row.state for row in self.all_rows]
        return [(state, states.count(state)) for state in STATE_ORDER if state in states]
