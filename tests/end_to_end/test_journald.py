"""Output in a real systemd journal, read back by ``journalctl``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import BASE, daemon, eventually
from tests.kit.journald import journald

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.journald import Journald

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
#: More than a datagram takes.
LARGE = 700_000
#: Lines of both streams, in pieces that end anywhere; then what the test sends.
WRITER = f"""\
import os, sys
text = b"first\\n\\n a=b \\xff\\n" + "gr\\u00fcn\\n".encode() + b"x" * {LARGE} + b"\\nlast\\n"
for start in range(0, len(text), 50_000):
    os.write(1, text[start:start + 50_000])
os.write(2, b"wrong\\n")
while line := sys.stdin.buffer.readline():
    os.write(1, line)
"""

#: Fields that are compared; journald adds many.
FIELDS = {
    *("PRIORITY", "SYSLOG_IDENTIFIER", "TSUPERVISOR_PROGRAM", "TSUPERVISOR_GROUP"),
    *("TSUPERVISOR_STREAM", "_PID", "_TRANSPORT"),
}


def messages(journal: Journald, stream: str = "stdout") -> list[object]:
    return [
        entry["MESSAGE"]
        for entry in journal.entries("TSUPERVISOR_PROGRAM=web", f"TSUPERVISOR_STREAM={stream}")
    ]


@pytest.mark.behaviour("output.md#entries-of-the-journal")
def test_lines_of_a_program_in_the_journal(tmp_path: Path) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    text = (
        f"[program:web]\ncommand={sys.executable} -S writer.py\ndirectory=%(here)s\n"
        "process_name=web_1\njournald=true\nlog_format=json\nautorestart=false\n"
        "stdout_logfile=%(here)s/web.log\nstderr_logfile=NONE\n[group:app]\nprograms=web\n"
    )
    odd = [*b" a=b \xff"]
    expected: list[object] = ["first", "", odd, "grün", "x" * LARGE, "last"]
    with (
        journald() as journal,
        daemon(tmp_path, text, base=EXTENDED, within=journal.within) as running,
    ):
        eventually(lambda: messages(journal)[-1:] == ["last"], "the last line")
        assert messages(journal) == expected
        eventually(lambda: messages(journal, "stderr") == ["wrong"], "the line of stderr")
        for stream, priority in (("stdout", "6"), ("stderr", "4")):
            for entry in journal.entries(f"TSUPERVISOR_STREAM={stream}"):
                own = {name: value for name, value in entry.items() if name in FIELDS}
                assert own == {
                    "PRIORITY": priority,
                    "SYSLOG_IDENTIFIER": "web_1",
                    "TSUPERVISOR_PROGRAM": "web",
                    "TSUPERVISOR_GROUP": "app",
                    "TSUPERVISOR_STREAM": stream,
                    "_PID": str(running.process.pid),
                    "_TRANSPORT": "journal",
                }
        # Another journald takes the place of one that was ended; what was written meanwhile is
        # counted.
        journal.end()
        running.rpc.sendProcessStdin("app:web_1", "lost\n")
        running.wait_log("cannot write log journald: ")
        journal.start()
        running.rpc.sendProcessStdin("app:web_1", "found\n")
        eventually(lambda: messages(journal) == [*expected, "found"], "the line after it")
        running.wait_log("log journald works again; ")
        running.rpc.stopProcess("app:web_1")
        assert running.stop() == 0
        assert messages(journal) == [*expected, "found"]


@pytest.mark.behaviour("output.md#entries-of-the-journal")
def test_many_lines_of_many_programs_are_each_one_entry_in_order(tmp_path: Path) -> None:
    count, programs = 2000, 5
    code = f"import os; os.write(1, b''.join(b'line %%d\\n' %% n for n in range({count})))"
    (tmp_path / "many.py").write_text(code.replace("%%", "%"))
    text = (
        f"[program:many]\ncommand={sys.executable} -S many.py\ndirectory=%(here)s\n"
        f"numprocs={programs}\nprocess_name=p%(process_num)d\nstartsecs=0\nautorestart=false\n"
        "journald=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    with (
        journald() as journal,
        daemon(tmp_path, text, base=EXTENDED, within=journal.within) as running,
    ):
        eventually(lambda: set(running.states().values()) == {"EXITED"}, "the ends of the programs")
        assert running.stop() == 0
        for number in range(programs):
            lines = [entry["MESSAGE"] for entry in journal.entries(f"SYSLOG_IDENTIFIER=p{number}")]
            assert lines == [f"line {n}" for n in range(count)]
        assert "journald" not in running.log
