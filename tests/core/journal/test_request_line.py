"""The line of the log about a request."""

from __future__ import annotations

import pytest

from trio_supervisor.core.journal.entry import JournalEntry, What
from trio_supervisor.core.journal.request_line import request_line
from trio_supervisor.core.process.cause import BOOT, POLICY, Cause, CauseKind

ANN = Cause(CauseKind.REQUEST, "ann from 10.0.0.7")


@pytest.mark.behaviour("journal.md#requests-in-the-activity-log")
@pytest.mark.parametrize(
    ("process", "what", "new", "cause", "line"),
    [
        ("web", What.REQUEST, "stop", ANN, "stop of web requested by ann from 10.0.0.7"),
        (
            "a:b",
            What.REQUEST,
            "signal SIGHUP",
            Cause(CauseKind.PLUGIN, "plugin p.q"),
            "signal SIGHUP to a:b requested by plugin p.q",
        ),
        ("", What.REQUEST, "reread", ANN, "reread requested by ann from 10.0.0.7"),
        (
            "",
            What.CONFIGURATION,
            "added",
            Cause(CauseKind.CONFIGURATION, "signal"),
            "addition of group g requested by signal",
        ),
        ("", What.CONFIGURATION, "removed", ANN, "removal of group g requested by " + ANN.who),
        ("", What.DAEMON, "RESTARTING", ANN, "restart requested by ann from 10.0.0.7"),
        ("", What.DAEMON, "SHUTDOWN", ANN, "shutdown requested by ann from 10.0.0.7"),
        ("", What.DAEMON, "SHUTDOWN", POLICY, ""),
        ("", What.DAEMON, "RUNNING", BOOT, ""),
        ("web", What.STATE, "STOPPING", ANN, ""),
        ("web", What.REQUEST, "start", Cause(CauseKind.DEPENDENCY, "db"), ""),
        (
            "web",
            What.REQUEST,
            "stop",
            Cause(CauseKind.REQUEST, "a\nb\x1b[1m"),
            "stop of web requested by a b\\x1b[1m",
        ),
    ],
)
def test_lines(process: str, what: What, new: str, cause: Cause, line: str) -> None:
    entry = JournalEntry(1, 0.0, 0.0, "", process, what, "", new, cause, {"group": "g"}, first=0.0)
    assert request_line(entry) == line
