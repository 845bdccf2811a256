"""Which ends are put down to a lack of memory."""

from __future__ import annotations

import signal

import pytest

from tests.kit.handing import handed_over
from trio_supervisor.core.process.exit import End, Exit
from trio_supervisor.core.process.memory_kill import MemoryKills, counter_file, kills_in

KILLED = Exit(None, signal.SIGKILL)


@pytest.mark.parametrize(
    ("cgroups", "file"),
    [
        ("", None),
        ("0::/\n", "memory.events"),
        ("0::/system.slice/x.service\n", "system.slice/x.service/memory.events"),
        ("0::/a:b\n", "a:b/memory.events"),
        ("9:name=systemd:/\n4:memory:/box/1\n0::/\n", "memory/box/1/memory.oom_control"),
        ("0::/x\n4:cpu,memory:/\n", "memory/memory.oom_control"),
        ("9:name=systemd:/x\n3:cpuset:/x\n", None),
        ("nonsense\n", None),
    ],
)
def test_file_of_the_count(cgroups: str, file: str | None) -> None:
    assert counter_file(cgroups) == file


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 12\noom 4\noom_kill 3\noom_group_kill 1\n", 3),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", 0),
        ("oom_kill_disable 0\nunder_oom 0\n", None),  # a kernel before 4.13
        ("oom_kill many\n", None),
        ("", None),
    ],
)
def test_count(text: str, count: int | None) -> None:
    assert kills_in(text) == count


@pytest.mark.behaviour("process.md#killed-for-lack-of-memory")
@pytest.mark.parametrize(
    ("ended", "before", "now", "asked", "lacked"),
    [
        (KILLED, 0, 1, False, True),
        (KILLED, 7, 9, False, True),
        (KILLED, 7, 7, False, False),
        (KILLED, 0, 1, True, False),
        (KILLED, None, 1, False, False),
        (KILLED, 1, None, False, False),
        (Exit(None, signal.SIGTERM), 0, 1, False, False),
        (Exit(137), 0, 1, False, False),  # a shell whose child was killed
        (Exit(None), 0, 1, False, False),
    ],
)
def test_ends(ended: Exit, before: int | None, now: int | None, asked: bool, lacked: bool) -> None:
    assert MemoryKills().explain(ended, before, now, asked=asked) is lacked


@pytest.mark.behaviour("process.md#killed-for-lack-of-memory")
def test_a_kill_explains_one_end() -> None:
    kills = MemoryKills()
    assert kills.explain(KILLED, 0, 2, asked=False)
    assert kills.explain(KILLED, 0, 2, asked=False)
    assert not kills.explain(KILLED, 0, 2, asked=False)  # somebody else has killed it
    assert kills.explain(KILLED, 5, 6, asked=False)


def test_words() -> None:
    assert str(End(KILLED, False, 0.0, 1.0, lacked_memory=True)) == (
        "terminated by SIGKILL; killed for lack of memory (not expected)"
    )
    end = End(KILLED, False, 0.0, 1.0, lacked_memory=True)
    assert end.described()["description"] == "terminated by SIGKILL; killed for lack of memory"
    assert handed_over(end) == end
