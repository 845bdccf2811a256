"""Whose the processes are that a killed daemon has left, and in which order they end."""

from __future__ import annotations

import pytest

from tests.kit.config import load
from trio_supervisor.core.leftovers import options_of, owner_mark, owner_of, stop_turns
from trio_supervisor.core.process.member import Member

DAEMON = Member(20, 5000)
PATH = "/etc/a:b.conf"


@pytest.mark.behaviour("policies.md#whose-leftovers-are-ended")
@pytest.mark.parametrize(
    ("mark", "key", "daemon"),
    [
        (owner_mark(DAEMON, PATH, "web"), ("web", "web"), DAEMON),
        (owner_mark(DAEMON, PATH, "web:a"), ("web", "a"), DAEMON),
        (owner_mark(DAEMON, PATH, "web"), ("web", "a"), None),  # of a supervisor below
        (owner_mark(DAEMON, "/etc/other.conf", "web"), ("web", "web"), None),
        (owner_mark(DAEMON, PATH, "w\nb"), ("w\nb", "w\nb"), None),
        (owner_mark(DAEMON, PATH, "w" * 300), ("w" * 300, "w" * 300), None),
        (f"20:web:{PATH}", ("web", "web"), None),
        (f"20.x:web:{PATH}", ("web", "web"), None),
        (f"20.{'9' * 5000}:web:{PATH}", ("web", "web"), None),
        (f"²0.1:web:{PATH}", ("web", "web"), None),
        ("", ("", ""), None),
    ],
)
def test_the_owner_that_a_mark_names(
    mark: str, key: tuple[str, str], daemon: Member | None
) -> None:
    assert owner_of(mark, PATH, key) == daemon


@pytest.mark.behaviour("policies.md#survive")
def test_leftovers_end_in_the_order_of_a_shutdown() -> None:
    config = load(
        "[supervisord]\nextended=true\n"
        "[program:first]\ncommand=a\npriority=1\n"
        "[program:db]\ncommand=a\npriority=2\n"
        "[program:web]\ncommand=a\npriority=1\ndepends_on=db\nstopwaitsecs=3\n"
        "[program:ended]\ncommand=a\npriority=3\n"
        "[eventlistener:pool]\ncommand=a\nevents=TICK_5\npriority=9\n"
    )
    left = [(name, name) for name in ("first", "db", "web", "gone", "pool")]
    turns = stop_turns(config, dict.fromkeys(left))
    assert [[name for name, _ in turn] for turn in turns] == [
        ["gone"],
        ["web"],
        ["db"],
        ["first"],
        ["pool"],
    ]
    options = options_of(config, left)
    assert options["web", "web"].stopwaitsecs == 3
    assert (options["gone", "gone"].stopsignal, options["gone", "gone"].stopwaitsecs) == (15, 10)
