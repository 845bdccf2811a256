"""Log formats: output of a child, read in pieces split anywhere, as records of whole lines.

A record has the time and the name of the process before the line (``prefix``), or is a JSON object
on a line of its own (``json``). Lines that were read together share one time. Nothing is lost: a
line that is too long, and one that has no end in time, becomes several records that are marked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from trio_supervisor.core.config.model import LogFormat
from trio_supervisor.core.dataclass import dataclass
from trio_supervisor.core.output import WholeCharacters

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of a line; of a longer one each part of this length is a record.
LONGEST_LINE = 1024 * 1024
#: Bytes that are looked at together: so many that of their lines only the first can be too long.
_PIECE = LONGEST_LINE // 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Which output of which process."""

    program: str
    group: str
    process: str
    stream: str
    """``stdout`` or ``stderr``."""

    @property
    def full_name(self) -> str:
        """``group:process``, or ``process`` for a group of the same name."""
        return self.process if self.group == self.process else f"{self.group}:{self.process}"


class Render(Protocol):
    """Makes records of lines that were read together."""

    def __call__(self, lines: bytes, time: str, pid: int, *, whole: bool) -> bytes:
        """Return a record for each line of ``lines``, which end with a newline.

        ``whole`` is False for one part of a line, which goes on in the next record.
        """


def prefixed(origin: Origin) -> Render:
    """Return the function for ``prefix``: time, name and stream, then the line as it is.

    A ``+`` behind the stream marks a part of a line.
    """
    name, stream = origin.full_name.encode(), origin.stream.encode()

    def render(lines: bytes, time: str, pid: int, *, whole: bool) -> bytes:
        head = b"%s %s %s%s " % (time.encode(), name, stream, b"" if whole else b"+")
        # Each copy of a large read costs as much as the rest.
        return head + lines.replace(b"\n", b"\n" + head, lines.count(b"\n") - 1)

    return render


def as_json(origin: Origin) -> Render:
    """Return the function for ``json``: one object a line.

    Bytes that are no UTF-8 are written as ``\\xNN``. ``"part": true`` marks a part of a line.
    """
    from json.encoder import encode_basestring as quoted  # most programs log raw

    names = (
        f'"program":{quoted(origin.program)},"group":{quoted(origin.group)},'
        f'"process":{quoted(origin.process)},"stream":{quoted(origin.stream)}'
    )

    def render(lines: bytes, time: str, pid: int, *, whole: bool) -> bytes:
        head = f'{{"time":"{time}",{names},"pid":{pid},"line":'
        tail = "}\n" if whole else ',"part":true}\n'
        texts = lines.decode(errors="backslashreplace").split("\n")
        texts.pop()  # behind the last newline
        return (head + (tail + head).join(map(quoted, texts)) + tail).encode()

    return render


#: Formats but ``raw``, each with what makes its renderer.
RENDERERS: dict[LogFormat, Callable[[Origin], Render]] = {
    LogFormat.PREFIX: prefixed,
    LogFormat.JSON: as_json,
}


class LineRecords:
    """Makes records of the output of one channel, and holds back a line that has no end yet."""

    __slots__ = ("_held", "_render")

    def __init__(self, render: Render) -> None:
        self._render = render
        self._held = b""

    @property
    def is_holding(self) -> bool:
        """Whether the beginning of a line is held back."""
        return bool(self._held)

    def feed(self, data: bytes, now: float, pid: int) -> bytes:
        """Return the records that are complete. ``now`` is in seconds since the epoch."""
        if len(data) > _PIECE:
            pieces = range(0, len(data), _PIECE)
            return b"".join([self.feed(data[at : at + _PIECE], now, pid) for at in pieces])
        room = LONGEST_LINE - len(self._held)
        if len(data) > room and data.find(b"\n", 0, room + 1) < 0:  # the line is too long
            self._held += data[:room]
            return self._cut(now, pid) + self.feed(data[room:], now, pid)
        end = data.rfind(b"\n") + 1
        if not end:
            self._held += data
            return b""
        if self._held or end < len(data):
            lines = b"".join((self._held, memoryview(data)[:end]))
            self._held = data[end:]
        else:
            lines = data
        return self._render(lines, timestamp(now), pid, whole=True)

    def finish(self, now: float, pid: int, *, whole: bool) -> bytes:
        """Return the record of what is held back; empty if nothing is.

        ``whole`` is False if the line may go on.
        """
        held, self._held = self._held, b""
        return self._render(held + b"\n", timestamp(now), pid, whole=whole) if held else b""

    def _cut(self, now: float, pid: int) -> bytes:
        """Return what is held back as a part of a line, but for half a character at its end."""
        characters = WholeCharacters()
        self._held = characters.feed(self._held)
        record = self.finish(now, pid, whole=False)
        self._held = characters.finish()
        return record


def timestamp(now: float) -> str:
    """Return RFC 3339 in UTC, to the millisecond; ``now`` is in seconds since the epoch."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
