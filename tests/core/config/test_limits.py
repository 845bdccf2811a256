"""The options that limit a child: how they are written, and what the kernel is given."""

from __future__ import annotations

import resource

import pytest

from tests.kit.config import BASE, load
from trio_supervisor.core.config.limits import NO_LIMITS, RLIMITS, Limits
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.embedding.definitions import program

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


def limits(lines: str, base: str = EXTENDED) -> Limits:
    (group,) = load(f"[program:x]\ncommand=/bin/cat\n{lines}\n", base=base).groups
    return group.processes[0].limits


@pytest.mark.behaviour("policies.md#limits-of-resources")
@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("rlimit_nofile = 1024", ("nofile", 1024, 1024)),
        ("rlimit_nofile = 1024:4096", ("nofile", 1024, 4096)),
        ("rlimit_nofile = 1024 : unlimited", ("nofile", 1024, resource.RLIM_INFINITY)),
        ("rlimit_core = Unlimited", ("core", resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
        ("rlimit_core = 0", ("core", 0, 0)),
        ("rlimit_as = 512MB:1GB", ("as", 512 * 1024**2, 1024**3)),
        ("rlimit_cpu = 90", ("cpu", 90, 90)),
        ("rlimit_cpu = 500ms:2m", ("cpu", 1, 120)),
        ("rlimit_rttime = 200ms", ("rttime", 200_000, 200_000)),
        ("rlimit_rttime = 1:unlimited", ("rttime", 1_000_000, resource.RLIM_INFINITY)),
    ],
)
def test_a_limit_in_a_file(line: str, given: tuple[str, int, int]) -> None:
    assert limits(line).rlimits() == [given]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("rlimit_nofile = many", "invalid number 'many'"),
        ("rlimit_nofile = -1", "invalid limit '-1'"),
        ("rlimit_nofile = 1:2:3", "invalid limit '1:2:3'"),
        ("rlimit_nofile = 2:1", "limit '2:1' has a soft limit above the hard limit"),
        ("rlimit_nofile = unlimited:1", "has a soft limit above the hard limit"),
        ("rlimit_nofile = 9223372036854775808", "is too large"),
        ("rlimit_as = 1 apple", "invalid size '1 apple'"),
        ("rlimit_cpu = soon", "invalid duration 'soon'"),
        ("nice = 20", "20 is not in -20 to 19"),
        ("nice = low", "invalid number 'low'"),
        ("oom_score_adj = -1001", "-1001 is not in -1000 to 1000"),
        ("memory_max = 0", "0 leaves nothing at all"),
        ("memory_max = 9223372036854775808", "9223372036854775808 is too large"),
        ("memory_high = 99999999999GB", "99999999999GB is too large"),
        ("memory_high = 512M", "invalid size '512M'"),
        ("cpu_max = 0.001", "'0.001' is no number of processors"),
        ("cpu_max = all", "'all' is no number of processors"),
        ("pids_max = 0", "0 is less than 1"),
        ("no_new_privs = maybe", "not a valid boolean value: 'maybe'"),
    ],
)
def test_a_wrong_limit_is_an_error_with_extended_and_else_nothing(line: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        limits(line)
    assert error in str(caught.value)
    assert limits(line, BASE) is NO_LIMITS


def test_every_limit_of_this_system_has_an_option() -> None:
    known = {
        name.removeprefix("RLIMIT_").lower()
        for name in dir(resource)
        if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"  # the older name of NOFILE
    }
    assert known <= RLIMITS.keys()
    assert list(RLIMITS)[-1] == "nproc"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("1024", "1024"), ("1:2", "1:2"), ("0.5s", "0.5"), ("5m:unlimited", "300:unlimited")],
)
def test_a_limit_is_shown_as_files_have_it(text: str, shown: str) -> None:
    assert str(limits(f"rlimit_rttime = {text}").rlimit_rttime) == shown


def test_a_limit_in_python() -> None:
    (process,) = program(
        "x", "/bin/cat", {"rlimit_nofile": 64, "rlimit_as": "1MB:2MB", "rlimit_cpu": 1.5, "nice": 3}
    ).processes
    assert process.limits.rlimits() == [("as", 2**20, 2**21), ("cpu", 2, 2), ("nofile", 64, 64)]
    assert process.limits.nice == 3
    for wrong in ({"rlimit_nofile": True}, {"rlimit_nofile": "x"}, {"nice": 20}):
        with pytest.raises(ConfigError, match="must be a"):
            program("x", "/bin/cat", wrong)  # type: ignore[arg-type]  # the error is tested
