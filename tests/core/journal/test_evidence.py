"""The evidence of entries: facts, without secrets."""

from __future__ import annotations

import sys

import pytest

from trio_supervisor.core.journal.entry import NO_FACTS, OfChild
from trio_supervisor.core.journal.evidence import (
    LIMIT,
    bounded,
    evidence_of,
    masked,
    secrets_of,
)
from trio_supervisor.core.process.cause import EXIT, POLICY
from trio_supervisor.core.process.exit import End, Exit, ResourceUsage
from trio_supervisor.core.process.record import Evidence, Transition
from trio_supervisor.core.process.states import State


@pytest.mark.behaviour("journal.md#evidence-has-no-secrets")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://ann:hunter2@db/x failed", "postgres://***@db/x failed"),
        ("see https://host/path?a=b@c", "see https://host/path?a=b@c"),
        ("password=hunter2, retrying", "password=***, retrying"),
        ("DB_PASSWORD: 'two words' rejected", "DB_PASSWORD: *** rejected"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": ***, "x": 1}'),
        ("run --db-token abc --x", "run --db-token *** --x"),
        ("run --token=abc", "run --token=***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("unexpected token }", "unexpected token }"),
        ("exit status 3", "exit status 3"),
    ],
)
def test_masking(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.behaviour("journal.md#evidence-has-no-secrets")
def test_values_of_secret_variables() -> None:
    environment = {"DB_PASSWORD": "hunter2", "MY_TOKEN": "abc", "HOME": "/home/ann"}
    assert secrets_of(environment) == ("hunter2",)  # a short one would garble the text
    assert bounded({"stderr": "no hunter2 in /home/ann"}, ("hunter2",)) == {
        "stderr": "no *** in /home/ann"
    }


@pytest.mark.behaviour("journal.md#evidence-has-no-secrets")
def test_texts_are_escaped_and_cut() -> None:
    assert bounded({"a": "\x1b[2J\u202e", "pid": 3, "b": ""}) == {
        "a": "\\x1b[2J\\u202e",
        "pid": 3,
    }
    long = bounded({"a": "x" * (LIMIT - 3), "b": "12345", "c": "more"})
    assert long == {"a": "x" * (LIMIT - 3), "b": "345"}
    assert bounded({}) is NO_FACTS


def test_masking_of_long_text_is_linear() -> None:
    """Text of a program must not keep the event loop busy."""
    for piece in ("password", "--", "a-", "token ", "://", "'"):
        masked(piece * 20_000)


@pytest.mark.behaviour("journal.md#evidence")
def test_evidence_of_transitions() -> None:
    started = Transition(State.STOPPED, State.STARTING, 0.0, POLICY)
    assert evidence_of(started, tuple, output=True) is NO_FACTS
    running = Transition(State.STARTING, State.RUNNING, 0.0, POLICY, Evidence(pid=7))
    assert evidence_of(running, tuple, output=True) == {"pid": 7}
    end = End(Exit(3), False, 0.0, 1.23456, "out", "err", ResourceUsage(0.5, 4096))
    exited = Transition(
        State.RUNNING, State.EXITED, 0.0, EXIT, Evidence(7, 0, Exit(3), False, "", end)
    )
    facts = {"pid": 7, "exit": "exit status 3", "expected": False, "lifetime": 1.235}
    facts |= {"peak_memory": 4096}
    assert evidence_of(exited, tuple, output=False) == facts
    assert evidence_of(exited, tuple, output=True) == facts | {"stderr": "err", "stdout": "out"}
    expected = End(Exit(0), True, 0.0, 1.0, "out", "err")
    stopped = Transition(
        State.STOPPING, State.STOPPED, 0.0, EXIT, Evidence(7, 0, Exit(0), True, "", expected)
    )
    assert evidence_of(stopped, tuple, output=True) == {
        "pid": 7,
        "exit": "exit status 0",
        "expected": True,
        "lifetime": 1.0,
    }
    failed = Transition(
        State.STARTING, State.BACKOFF, 0.0, EXIT, Evidence(0, 2, error="no such file")
    )
    assert evidence_of(failed, tuple, output=True) == {"failures": 2, "error": "no such file"}


def test_the_pid_of_a_child_takes_little_memory() -> None:
    transition = Transition(State.STARTING, State.RUNNING, 1.0, POLICY, Evidence(pid=7))
    facts = evidence_of(transition, tuple, output=True)
    assert {**facts} == {"pid": 7}
    assert facts == {"pid": 7}
    assert ("error" in facts, facts.get("error")) == (False, None)
    assert sys.getsizeof(facts) < sys.getsizeof({"pid": 7}) / 3
    assert isinstance(facts, OfChild)
