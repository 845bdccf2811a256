"""``user`` with a group, and users without an entry: only where a file may have such forms."""

from __future__ import annotations

import pytest

from tests.kit.config import BASE, load
from trio_supervisor.core.config.identity import EnvironmentFile, UserEnv
from trio_supervisor.core.config.model import ProcessConfig
from trio_supervisor.core.errors import ConfigError

EXTENDED = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")


def process(lines: str, base: str = EXTENDED) -> ProcessConfig:
    (group,) = load(f"[program:x]\ncommand=/bin/cat\n{lines}\n", base=base).groups
    return group.processes[0]


@pytest.mark.behaviour("policies.md#user-and-group")
@pytest.mark.parametrize(
    ("user", "uid", "gid"),
    [
        ("nobody", 65534, None),
        ("65534", 65534, None),
        ("nobody:daemon", 65534, 1),
        ("nobody:4711", 65534, 4711),
        ("4711:4712", 4711, 4712),
        ("4711:daemon", 4711, 1),
    ],
)
def test_a_user_with_a_group(user: str, uid: int, gid: int | None) -> None:
    found = process(f"user={user}")
    assert (found.uid, found.identity.gid) == (uid, gid)


@pytest.mark.behaviour("policies.md#user-and-group")
@pytest.mark.parametrize(
    ("user", "error", "hint"),
    [
        ("noone:daemon", "Invalid user name noone", "there is no such user"),
        ("nobody:nogroups", "Invalid group name nogroups", "there is no such group"),
        ("nobody:", "Invalid group name", "there is no such group"),
        ("4711", "Invalid user id 4711", "give the group too: 4711:4711"),
        ("4294967295:1", "Invalid user id 4294967295", "there is no such user"),
    ],
)
def test_a_wrong_user_or_group(user: str, error: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        process(f"user={user}")
    assert error in str(caught.value)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("user", ["nobody:daemon", "4711:4712"])
def test_without_extended_it_is_the_error_that_it_always_was(user: str) -> None:
    with pytest.raises(ConfigError, match=f"Invalid user name {user}"):
        process(f"user={user}", BASE)


@pytest.mark.behaviour("policies.md#environment-files")
def test_files_of_variables_in_a_file() -> None:
    found = process(
        "environment_file=%(here)s/a.env, -~/b.env, c.env\nenvironment=A=1\nuser_env=Basic",
        EXTENDED.replace("[supervisord]\n", "[supervisord]\nenvironment=B=2\n"),
    )
    assert found.identity.environment_files == (
        EnvironmentFile("/here/a.env"),
        EnvironmentFile("/home/me/b.env", optional=True),
        EnvironmentFile("/cwd/c.env"),
    )
    assert found.identity.user_env is UserEnv.BASIC
    assert found.environment == {"A": "1", "B": "2"}
    assert found.identity.own == {"A": "1"}
    with pytest.raises(ConfigError, match="the path of an environment file is missing"):
        process("environment_file=a,,b")
    with pytest.raises(ConfigError, match="invalid 'user_env' value 'full'"):
        process("user_env=full")
