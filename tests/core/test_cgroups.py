"""Names and places of cgroups, and which one a daemon may divide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.cgroups import (
    base_of,
    controllers_for,
    directory_of,
    limit_files,
    limits_in_words,
    node_name,
    not_delegated,
    own_cgroup,
    shortcomings,
)
from trio_supervisor.core.config.limits import Limits
from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.core.config.stopping import KillMode, Stopping

#: As systemd mounts it, after something that is no cgroup and one of version 1.
MOUNTS = (
    "22 1 0:20 / /proc rw shared:5 - proc proc rw\n"
    "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
)


@pytest.mark.behaviour("policies.md#nodes-of-programs")
@pytest.mark.parametrize(
    ("group", "process", "name"),
    [
        ("web", "web", "p_web_web"),
        ("my_app", "my_app_00", "p_my%5Fapp_my_app_00"),
        ("a/b", "é", "p_a%2Fb_%C3%A9"),
        ("a%", "\udcff", "p_a%25_%FF"),
    ],
)
def test_names_of_nodes(group: str, process: str, name: str) -> None:
    assert node_name(group, process) == name


@pytest.mark.behaviour("policies.md#nodes-of-programs")
@given(*[st.tuples(st.text("a_%/"), st.text("a_%/"))] * 2)
def test_two_processes_never_have_the_same_node(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (node_name(*one) == node_name(*other)) == (one == other)


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
@pytest.mark.parametrize(
    ("cgroups", "own"),
    [
        ("0::/system.slice/x.service\n", "/system.slice/x.service"),
        ("4:memory:/a\n0::/\n", "/"),
        ("4:memory:/a\n1:name=systemd:/b\n", None),
        ("", None),
    ],
)
def test_the_cgroup_of_the_daemon(cgroups: str, own: str | None) -> None:
    assert own_cgroup(cgroups) == own


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
@pytest.mark.parametrize(
    ("cgroup", "mounts", "directory"),
    [
        ("/system.slice/x.service", MOUNTS, "/sys/fs/cgroup/system.slice/x.service"),
        ("/", MOUNTS, "/sys/fs/cgroup"),
        ("/", "", None),
        ("/a/b", "1 2 0:3 /a /mnt/of\\040a rw - cgroup2 none rw\n", "/mnt/of a/b"),
        ("/a", "1 2 0:3 /a /mnt rw - cgroup2 none rw\n", "/mnt"),
        ("/ab", "1 2 0:3 /a /mnt rw - cgroup2 none rw\n", None),
        ("/", "1 2 0:3 /../.. /mnt rw - cgroup2 none rw\n", None),
    ],
)
def test_the_directory_of_a_cgroup(cgroup: str, mounts: str, directory: str | None) -> None:
    assert directory_of(cgroup, mounts) == directory


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
def test_a_daemon_in_its_leaf_divides_the_cgroup_above() -> None:
    assert base_of("/sys/fs/cgroup/x.service") == "/sys/fs/cgroup/x.service"
    assert base_of("/sys/fs/cgroup/x.service/tsupervisord.daemon") == "/sys/fs/cgroup/x.service"


@pytest.mark.behaviour("policies.md#where-programs-get-cgroups")
@pytest.mark.parametrize(
    ("marked", "namespace_root", "writable", "why"),
    [
        (True, False, True, ""),
        (False, True, True, ""),
        (False, False, True, "is not delegated"),
        (True, False, False, "cannot be written"),
        (False, True, False, "cannot be written"),
    ],
)
def test_what_is_a_delegation(marked: bool, namespace_root: bool, writable: bool, why: str) -> None:
    answer = not_delegated(marked=marked, namespace_root=namespace_root, writable=writable)
    assert (why in answer) if why else answer == ""


ALL = ("cpu", "memory", "pids")
LIMITED = Limits(memory_max=2**29, memory_high=2**28, cpu_max=1.5, pids_max=100)


@pytest.mark.behaviour("policies.md#limits-of-cgroups")
@pytest.mark.parametrize(
    ("limits", "controllers", "files"),
    [
        (
            LIMITED,
            ALL,
            {
                "memory.high": "268435456",
                "memory.max": "536870912",
                "memory.oom.group": "1",
                "cpu.max": "150000 100000",
                "pids.max": "100",
            },
        ),
        (
            Limits(cpu_max=0.01),
            ALL,
            {
                "memory.high": "max",
                "memory.max": "max",
                "memory.oom.group": "0",
                "cpu.max": "1000 100000",
                "pids.max": "max",
            },
        ),
        (LIMITED, ["pids"], {"pids.max": "100"}),
        (LIMITED, [], {}),
    ],
)
def test_the_files_of_limits(limits: Limits, controllers: list[str], files: dict[str, str]) -> None:
    assert dict(limit_files(limits, controllers)) == files


@pytest.mark.behaviour("policies.md#limits-of-cgroups")
def test_only_controllers_that_are_needed_are_asked_for() -> None:
    assert controllers_for(LIMITED) == {*ALL}
    assert controllers_for(Limits(memory_high=1)) == {"memory"}
    assert controllers_for(Limits(nice=1)) == set()


@pytest.mark.behaviour("policies.md#shown-limits")
def test_limits_in_words_say_what_keeps_them() -> None:
    assert limits_in_words(LIMITED, ALL) == (
        "memory_high 256.0 MiB (cgroup), memory_max 512.0 MiB (cgroup), cpu_max 1.5 (cgroup), "
        "pids_max 100 (cgroup)"
    )
    assert limits_in_words(LIMITED, ["cpu"]) == (
        "memory_high 256.0 MiB (no effect), memory_max 512.0 MiB (watched), cpu_max 1.5 (cgroup), "
        "pids_max 100 (no effect)"
    )
    assert limits_in_words(Limits(), []) == ""


@pytest.mark.behaviour("policies.md#what-cannot-work-with-cgroups")
@pytest.mark.parametrize(
    ("lacking", "options"),
    [
        (None, ["kill_mode", "memory_high", "cpu_max", "pids_max"]),
        ({"cpu": "no cpu"}, ["cpu_max"]),
        ({"memory": "no memory"}, ["memory_high"]),
        ({}, []),
    ],
)
def test_options_that_do_not_do_what_they_say(
    lacking: dict[str, str] | None, options: list[str]
) -> None:
    config = ProcessConfig("x", "y", limits=LIMITED, stopping=Stopping(kill_mode=KillMode.CGROUP))
    found = [*shortcomings(config, lacking)]
    assert [one.option for one in found] == options
    for one in found:
        reasons = ["there is no cgroup"] if lacking is None else [*lacking.values()]
        assert any(reason in one.text for reason in reasons)
    assert [*shortcomings(ProcessConfig("x", "y"), lacking)] == []
