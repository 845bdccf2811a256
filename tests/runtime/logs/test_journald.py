"""Entries of systemd's journal, against a socket that checks its native protocol."""

from __future__ import annotations

import array
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE
from tests.kit.fakes import log_lines
from trio_supervisor.runtime.logs.sinks import Sinks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Journal:
    """A journal of the test's own."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(PATIENCE)

    def entry(self) -> dict[str, bytes]:
        """Read the next entry."""
        data, ancillary, _, _ = self._socket.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        if ancillary:
            assert data == b""
            (fd,) = array.array("i", ancillary[0][2])
            data = os.pread(fd, os.fstat(fd).st_size, 0)
            os.close(fd)
        return fields(data)

    def close(self) -> None:
        self._socket.close()


def fields(data: bytes) -> dict[str, bytes]:
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            value, end, data = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        found[name.decode()] = value
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal"))
    yield journal
    journal.close()


def sinks(tmp_path: Path, lines: list[str]) -> Sinks:
    made = Sinks(log_lines(lines), tag="daemon")
    made.journald_socket = str(tmp_path / "journal")
    return made


@pytest.mark.behaviour("output.md#entries-of-the-journal")
def test_each_line_is_an_entry(tmp_path: Path, journal: Journal) -> None:
    lines: list[str] = []
    sink = sinks(tmp_path, lines).journald("web", "g", "web_1", "stderr")
    large = b"x" * 900_000
    sink.write(b"one\ntw")
    sink.write(b"o\n\xff=\n" + large + b"\nno end")
    sink.close()
    entries = [journal.entry() for _ in range(5)]
    assert [entry.pop("MESSAGE") for entry in entries] == [
        *(b"one", b"two", b"\xff=", large, b"no end"),
    ]
    assert (
        entries
        == [
            {
                "PRIORITY": b"4",
                "SYSLOG_IDENTIFIER": b"web_1",
                "TSUPERVISOR_PROGRAM": b"web",
                "TSUPERVISOR_GROUP": b"g",
                "TSUPERVISOR_STREAM": b"stderr",
            }
        ]
        * 5
    )
    assert lines == []


@pytest.mark.behaviour("output.md#entries-of-the-journal")
def test_without_a_journal_entries_are_counted(tmp_path: Path) -> None:
    lines: list[str] = []
    made = sinks(tmp_path, lines)
    sink = made.journald("web", "web", "web", "stdout")
    sink.write(b"lost\n")
    made.settle(PATIENCE)
    journal = Journal(str(tmp_path / "journal"))
    sink.write(b"found\n")
    assert journal.entry()["MESSAGE"] == b"found"
    made.settle(PATIENCE)
    sink.close()
    journal.close()
    assert "cannot write log journald: No such file or directory" in lines[0]
    assert "log journald works again" in lines[1]
