"""Decisions about readiness and health, messages of programs, and lines of their output."""

from __future__ import annotations

import math
import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes import program
from tests.kit.handing import handed_over
from trio_supervisor.core.config.model import Health, Readiness
from trio_supervisor.core.config.pattern import LONGEST_LINE
from trio_supervisor.core.config.probes import LogLine, Notify, TcpProbe
from trio_supervisor.core.process.line_match import LineMatch
from trio_supervisor.core.process.notification import Notification, parse_notification
from trio_supervisor.core.process.probing import (
    HealthState,
    ProbeRecord,
    Verdict,
    extended,
    failures_allowed,
    ill_words,
    late_words,
    probe_record,
    start_deadline,
    unhealthy_words,
    unready_words,
)

TCP = TcpProbe(1)


@pytest.mark.behaviour("policies.md#running-means-ready-and-alive-for-startsecs")
@pytest.mark.parametrize(
    ("ready", "timeout", "startsecs", "deadline"),
    [
        (False, 60.0, 5, 160.0),
        (True, 60.0, 5, 105.0),
        (True, 60.0, 0, 100.0),
        (False, 0.0, 5, math.inf),
        (True, 0.0, 5, 105.0),
    ],
)
def test_the_deadline_of_a_start(
    ready: bool, timeout: float, startsecs: int, deadline: float
) -> None:
    config = program("x", readiness=Readiness(TCP, timeout), startsecs=startsecs)
    record = probe_record(config, 100.0)
    assert record is not None
    record.is_ready = ready
    assert start_deadline(config, record, 100.0) == deadline


def test_what_has_no_record() -> None:
    assert probe_record(program("x"), 0.0) is None
    checked = probe_record(program("x", health=Health(TCP)), 0.0)
    assert checked is not None
    assert checked.is_ready


OK, BAD = "", "refused"


@pytest.mark.behaviour("policies.md#verdicts")
@pytest.mark.parametrize(
    ("answers", "verdicts"),
    [
        ([OK, BAD, BAD, OK], "hhhh"),
        ([BAD, BAD, BAD, BAD, OK, BAD], "??uuhh"),
        ([BAD, OK, BAD, BAD, BAD], "?hhhu"),
        ([OK, BAD, BAD, BAD, OK], "hhhuh"),
    ],
)
def test_verdicts(answers: list[str], verdicts: str) -> None:
    state, letters = HealthState(), {"unknown": "?", "healthy": "h", "unhealthy": "u"}
    found = ""
    for time, answer in enumerate(answers):
        before, state = state, state.after(answer, 3, float(time))
        found += letters[state.verdict.value]
        assert (state.since == time) == (state.verdict is not before.verdict) or not time
    assert found == verdicts
    assert state.has_succeeded


@pytest.mark.behaviour("policies.md#watchdog")
def test_one_missing_message_is_enough() -> None:
    assert failures_allowed(Health(Notify(), failures=5)) == 1
    assert failures_allowed(Health(TCP, failures=5)) == 5


@pytest.mark.parametrize(
    ("deadline", "extension", "now", "result"),
    [(10.0, 5.0, 2.0, 10.0), (10.0, 9.0, 2.0, 11.0), (math.inf, 5.0, 2.0, math.inf)],
)
def test_a_deadline_is_only_moved_away(
    deadline: float, extension: float, now: float, result: float
) -> None:
    assert extended(deadline, extension, now) == result


def test_words() -> None:
    config = program("x", readiness=Readiness(TCP, 1.0), health=Health(TCP))
    record = ProbeRecord(expires=101.0)
    assert unready_words(config, record) == "not ready yet: tcp:1"
    record.answer, record.status = "connection refused", "loading"
    assert unready_words(config, record) == "not ready yet: tcp:1: connection refused (loading)"
    assert late_words(config, record, 100.0) == (
        "not ready within 1 second (tcp:1: connection refused)"
    )
    record.failure = "late"
    assert unready_words(config, record) == "late, is being stopped"
    record.failure, record.is_ready = "", True
    assert unready_words(config, record) == ""
    assert unhealthy_words(config.health, record) == "health is not known yet: tcp:1"
    record.health = HealthState(Verdict.UNKNOWN, 1, False, "refused")
    assert unhealthy_words(config.health, record) == "health is not known yet: tcp:1: refused"
    record.health = HealthState(Verdict.UNHEALTHY, 1, True, "refused")
    assert unhealthy_words(config.health, record) == "unhealthy: tcp:1: refused"
    record.health = HealthState(Verdict.HEALTHY, 1, True, "refused")
    assert unhealthy_words(config.health, record) == ""
    never = HealthState(Verdict.UNHEALTHY, 3, False, "refused")
    assert ill_words(config.health, never) == (
        "tcp:1: refused, 3 times in a row; has never succeeded: is the check right?"
    )


def test_a_record_survives_as_plain_data() -> None:
    for expires in (105.0, math.inf):
        health = HealthState(Verdict.UNHEALTHY, 3, True, "refused", 7.0)
        record = ProbeRecord(False, "refused", expires, "late", "loading", health)
        copy = handed_over(record, 100.0, 200.0)
        assert copy == ProbeRecord(False, "refused", expires + 100, "late", "loading", health)


@pytest.mark.behaviour("policies.md#messages-of-programs")
@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (b"READY=1", Notification(ready=True)),
        (b"READY=1\n", Notification(ready=True)),
        (b"READY=0\nREADY", Notification()),
        (b"STATUS=a=b\nREADY=1", Notification(ready=True, status="a=b")),
        (b"STATUS=", Notification(status="")),
        (b"STATUS=\xff\x1b[0m", Notification(status="\ufffd\\x1b[0m")),
        (b"STATUS=" + b"x" * 1000, Notification(status="x" * 200)),
        (b"EXTEND_TIMEOUT_USEC=1500000", Notification(extension=1.5)),
        (b"EXTEND_TIMEOUT_USEC=-1", Notification()),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 18, Notification(extension=86400.0)),
        (b"WATCHDOG=1", Notification(alive=True)),
        (b"WATCHDOG=trigger", Notification(ill=True)),
        (b"WATCHDOG_USEC=5\nMAINPID=1\nFDSTORE=1\nX_Y=z\nSTOPPING=1", Notification()),
        (b"", Notification()),
        (b"\0\xfe=\n\n==", Notification()),
    ],
)
def test_messages(message: bytes, meaning: Notification) -> None:
    assert parse_notification(message) == meaning


@pytest.mark.behaviour("policies.md#ready-by-a-line-of-output")
@pytest.mark.parametrize(
    ("line", "pieces", "found_at"),
    [
        (LogLine("up"), [b"u", b"p"], 1),
        (LogLine("up"), [b"u\n", b"p"], None),
        (LogLine("up"), [b"down\n", b"up"], 1),
        (LogLine("häß"), ["hä".encode(), "ß".encode()], 1),
        (LogLine("up"), [b"x" * LONGEST_LINE + b"up", b"up\n", b"up"], 2),
        (LogLine("^up", is_regex=True), [b"up", b"\n"], 1),
        (LogLine("^up$", is_regex=True), [b"upper\n", b"up\r\n"], 1),
        (LogLine("^up", is_regex=True), [b"up" + b"x" * LONGEST_LINE], 0),
        (LogLine("up$", is_regex=True), [b"x" * LONGEST_LINE, b"up\n", b"up\n"], 2),
        (LogLine(".", is_regex=True), [b"\xff\n"], 0),
        (LogLine("^$", is_regex=True), [b"x\n", b"\n"], 1),
    ],
)
def test_lines(line: LogLine, pieces: list[bytes], found_at: int | None) -> None:
    match = LineMatch(line)
    found = next((n for n, piece in enumerate(pieces) if match.feed(piece)), None)
    assert found == found_at


@given(
    st.lists(st.text(st.sampled_from("ab\n")).map(str.encode)),
    st.text(st.sampled_from("ab"), min_size=1, max_size=3),
)
def test_a_text_is_found_in_a_line_however_the_output_is_split(
    pieces: list[bytes], text: str
) -> None:
    match = LineMatch(LogLine(text))
    found = [match.feed(piece) for piece in pieces]
    seen = [text.encode() in b"".join(pieces[: n + 1]) for n in range(len(pieces))]
    first = next((n for n, one in enumerate(seen) if one), None)
    assert next((n for n, one in enumerate(found) if one), None) == first


#: Parts of expressions, each with a match and one that is close.
PARTS = st.sampled_from(["a", "b", "ab", "a+", "a*", "b?", ".", "[ab]", "(ab)", "(a|b)", r"\."])


@given(
    st.lists(st.text(st.sampled_from("ab.\r\n")).map(str.encode)),
    st.lists(PARTS, min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "$", "|a"]),
)
def test_an_expression_is_found_in_a_line_however_the_output_is_split(
    pieces: list[bytes], middle: str, start: str, end: str
) -> None:
    pattern = start + middle + end
    match = LineMatch(LogLine(pattern, is_regex=True))
    found = [True in list(match.steps(piece)) for piece in pieces]
    first = next((n for n, one in enumerate(found) if one), None)

    def is_in(count: int) -> bool:
        lines = b"".join(pieces[:count]).split(b"\n")[:-1]
        return any(re.search(pattern, line.removesuffix(b"\r").decode()) for line in lines)

    assert first == next((n for n in range(len(pieces)) if is_in(n + 1)), None)


@pytest.mark.behaviour("policies.md#ready-by-a-line-of-output")
@pytest.mark.parametrize("pattern", ["a.*a.*b", ".*.*.*.*.*x", "a*a*a*b"])
def test_a_long_line_takes_no_time(pattern: str) -> None:
    match = LineMatch(LogLine(pattern, is_regex=True))
    began = process_time()
    assert not match.feed(b"a" * 100_000 + b"\n")
    assert process_time() - began < 5
