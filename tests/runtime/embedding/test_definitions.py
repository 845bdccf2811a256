"""Options as Python values: what is wrong is said before anything is started."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
import trio

from trio_supervisor import open_supervisor
from trio_supervisor.core.config.depends_on import OnDependencyStop
from trio_supervisor.core.config.identity import UserEnv
from trio_supervisor.core.config.keywords import ProgramOptions
from trio_supervisor.core.config.limits import RLIMITS
from trio_supervisor.core.config.model import Autorestart, LogFormat
from trio_supervisor.core.config.stopping import KillMode
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.embedding.definitions import program, task

HOOKS = ("stop_command", "pre_start", "post_stop", "refresh_command")
RIGHT: dict[str, list[object]] = {
    **{f"rlimit_{name}": [0, "0", "1:2", "unlimited"] for name in RLIMITS},
    "stop_sequence": ["QUIT:10s, TERM", ["QUIT:10s", "TERM:1.5"]],
    **{hook: ["/bin/true now", ["/bin/true", "a b"]] for hook in HOOKS},
    "hook_timeout": [0.5, "1m"],
    "refresh_signal": [1, "HUP", "usr2"],
    "kill_mode": ["process", "tree", "cgroup", KillMode.TREE],
    "gid": [0],
    "user_env": ["none", "basic", UserEnv.BASIC],
    "environment_file": [[], ["/a", Path("/b"), "-/c"]],
    "nice": [-20, 19],
    "oom_score_adj": [-1000, 1000],
    "memory_max": [1, 2**40, "512MB"],
    "memory_high": [1, "1GB"],
    "cpu_max": [0.01, 2],
    "pids_max": [1],
    "no_new_privs": [True],
    "die_with_supervisor": [True],
    "priority": [-1, 0, 999],
    "autostart": [True],
    "autorestart": ["unexpected", True, False, Autorestart.UNEXPECTED],
    "startsecs": [0, 5],
    "startretries": [0],
    "backoff": [(), [0.1, 1], (60,), ["500ms", 5], "linear", "constant", "exponential"],
    "backoff_initial": [0, 0.5, "500ms"],
    "backoff_max": [60, "5m"],
    "backoff_jitter": [0, 0.2, 1],
    "restart_delay": [0, "30s"],
    "retry_forever": [True],
    "restart_limit": ["5/60s", (5, 60), (1, "1h")],
    "restart_prevent": [(), [78, "SIGTERM", "hup", SIGKILL, "3"]],
    "on_fatal": ["stay", "retry:5m"],
    "essential": [True],
    "stopwaitsecs": [0, 0.5],
    "directory": ["/", Path("/")],
    "umask": [0, 0o777],
    "uid": [0, "root"],
    "exitcodes": [(), [0, 255]],
    "stopsignal": [9, 64, "TERM", "sighup", "RTMIN+1"],
    "stopasgroup": [False],
    "killasgroup": [True],
    "redirect_stderr": [True],
    "ignore_sigpipe": [False],
    "environment": [{}, {"A": "b=c"}],
    "stdout_logfile": ["x.log"],
    "stderr_logfile": [Path("x.log")],
    "log_format": ["json", LogFormat.PREFIX],
    "depends_on": ["db, cache?", ["db:healthy"], {"db": "running", "cache": {"soft": True}}],
    "on_dependency_stop": ["keep", OnDependencyStop.STOP],
    "oneshot": [True],
    "create_log_dirs": [True],
    "journald": [True],
    "ready": ["tcp:5432"],
    "ready_timeout": [0, 1.5, "30s"],
    "health": ["tcp:5432"],
    "health_interval": ["10s", 10],
    "health_timeout": [3],
    "health_failures": [3],
    "on_unhealthy": ["stop"],
    "dump_signal": [10],
}
WRONG: dict[str, list[object]] = {
    **{f"rlimit_{name}": [-1, "2:1", True, None] for name in RLIMITS},
    "stop_sequence": ["", "QUIT:soon", ["NONE"], [15], "0"],
    **{hook: ["", [], [" "], 1] for hook in HOOKS},
    "hook_timeout": [-1, "soon"],
    "refresh_signal": ["HPU", 0, 65],
    "kill_mode": ["group", None],
    "gid": ["root", -1],
    "user_env": ["all", None],
    "environment_file": ["/a", [1], ["a\0b"]],
    "nice": [20, "0"],
    "oom_score_adj": [1001, 0.5],
    "memory_max": [0, -1, "much", True],
    "memory_high": [0, "0"],
    "cpu_max": [0, -1, float("nan"), float("inf"), "all"],
    "pids_max": [0, 1.5],
    "no_new_privs": ["true"],
    "die_with_supervisor": [1],
    "priority": ["1", 1.5, True],
    "autostart": ["yes", 1],
    "autorestart": ["sometimes", None],
    "startsecs": ["1", -1, True, float("nan")],
    "startretries": [-1],
    "backoff": [1, "12", "doubling", [-1], ["x"], [float("inf")]],
    "backoff_initial": [-1, "soon", None, True],
    "backoff_max": ["", float("nan")],
    "backoff_jitter": [2, -0.1, "0.2", True],
    "restart_delay": [[1], "1w"],
    "retry_forever": [1],
    "restart_limit": ["5", "0/60s", "5/0", "5/x", 5, (5,), (0, 60), (5, 0), (5, "x"), [5, 60]],
    "restart_prevent": [78, "78", [256], ["NOSUCH"], ["0x1"], [True], [1.5]],
    "on_fatal": [None, 5, "retry", "stay:5m", "retry:x", ""],
    "essential": ["true"],
    "stopwaitsecs": [None],
    "directory": [1, "a\0b", b"/"],
    "umask": ["022", -1, 0o1000],
    "uid": [1.5, -1],
    "exitcodes": [0, [256], ["0"], "01"],
    "stopsignal": ["TREM", 0, 65, "0"],
    "stopasgroup": [None],
    "killasgroup": [0],
    "redirect_stderr": ["true"],
    "ignore_sigpipe": ["false"],
    "environment": [["A=b"], {"A": 1}, {"": "x"}, {"A=B": "x"}, {"A": "\0"}],
    "stdout_logfile": [True],
    "stderr_logfile": [2],
    "log_format": ["xml", True],
    "depends_on": [3, [3], ["a b"], {"db": "up"}, {"db": {"soft": 1}}],
    "on_dependency_stop": ["die", 3, ["keep"]],
    "oneshot": ["yes", 1],
    "create_log_dirs": ["yes"],
    "journald": ["yes"],
    "ready": [5, True],
    "ready_timeout": ["soon", True],
    "health": [80, True],
    "health_interval": ["often"],
    "health_timeout": [-1],
    "health_failures": ["3"],
    "on_unhealthy": ["die"],
    "dump_signal": [True],
}


async def nothing() -> None:
    """A task."""


def define(**options: Any) -> object:
    return program("x", "/bin/true", options)  # type: ignore[arg-type]  # that is what is tested


@pytest.mark.parametrize("option", ProgramOptions.__annotations__)
def test_values(option: str) -> None:
    for value in RIGHT[option]:
        define(**{option: value})
    for value in WRONG[option]:
        with pytest.raises(ConfigError, match=f"^x: {option} must be ") as caught:
            define(**{option: value})
        assert caught.value.option == option


def test_a_message_shows_the_value_but_no_secret() -> None:
    with pytest.raises(ConfigError, match="a number, 0 or more, not '1'"):
        define(startsecs="1")
    with pytest.raises(ConfigError) as caught:
        define(environment={"TOKEN": b"secret"})
    assert "secret" not in str(caught.value)


def test_unknown_options() -> None:
    with pytest.raises(ConfigError, match="x: there is no option startsec") as caught:
        define(startsec=1)
    assert caught.value.hint == "did you mean startsecs?"
    with pytest.raises(ConfigError, match="x: there is no option directory"):
        task("x", nothing, {"directory": "/"})  # type: ignore[typeddict-unknown-key]  # as above


@pytest.mark.parametrize("command", [[], "", ["/bin/echo", 1], "a\0b", 5])
def test_commands_that_are_none(command: Any) -> None:
    with pytest.raises(ConfigError, match="x: the command must be text"):
        program("x", command, {})


def test_a_task_must_be_callable() -> None:
    with pytest.raises(ConfigError, match="x: a task is an async function, not 5"):
        task("x", 5, {})  # type: ignore[arg-type]  # that is what is tested


class Function:
    async def __call__(self) -> None:
        """A task."""

    async def method(self) -> None:
        """A task."""


def sync() -> None:
    """No task."""


def wrapper() -> Awaitable[None]:
    return nothing()


async def generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (sync, "it is not async: write async def, or use trio.to_thread.run_sync"),
        (partial(sync), "it is not async"),
        (time.sleep, "use trio.to_thread.run_sync for what blocks"),
        (generator, "it is a generator"),
        (Function, "it is a class"),
        (
            nothing(),
            r"give the function itself, and its arguments behind it: add_task\(name, f, x\)",
        ),
        ("sync", "it cannot be called"),
    ],
)
def test_what_is_no_async_function_is_refused_by_name(wrong: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=f"x: a task is an async function, not .*; {why}"):
        task("x", wrong, {})


def test_what_returns_an_awaitable_is_a_task() -> None:
    of_a_class: list[Any] = [Function(), Function().method]
    for right in (nothing, partial(nothing), *of_a_class, wrapper, lambda: nothing()):
        task("x", right, {})


def test_commands_of_paths() -> None:
    for command in (Path("/bin/my echo"), [Path("/bin/my echo")]):
        assert program("x", command, {}).processes[0].command == "'/bin/my echo'"
    group = program("x", ["/bin/cat", Path("a b")], {})
    assert group.processes[0].command == "/bin/cat 'a b'"


@pytest.mark.parametrize(
    ("other", "ours"), [("cwd", "directory"), ("env", "environment"), ("user", "uid")]
)
def test_names_of_other_libraries_are_understood(other: str, ours: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {ours}"):
        define(**{other: "x"})
    with pytest.raises(ConfigError, match="there is no user 'nobody here'"):
        define(uid="nobody here")


async def test_a_task_gets_its_arguments() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    async with open_supervisor() as supervisor:
        task = supervisor.add_task("add", add, 2, 3, startsecs=0, autorestart=False)
        await task.wait()
        assert task.result == 5


async def test_signals_by_name() -> None:
    async with open_supervisor() as supervisor:
        cat = supervisor.add_program("cat", "/bin/cat", startsecs=0, autorestart=False)
        await cat.wait_for("RUNNING")
        told = "^value 'HUPP' is not a valid signal name; did you mean HUP[?]$"
        with pytest.raises(ValueError, match=told):
            cat.signal("HUPP")
        [result] = supervisor.signal([cat], "HUP")
        assert result.error is None
        assert (await cat.wait()).signal == 1


async def test_another_thread_is_told_what_to_do() -> None:
    async with open_supervisor() as supervisor:

        def add() -> None:
            with pytest.raises(RuntimeError, match="not the thread of the supervisor"):
                supervisor.add_program("cat", "/bin/cat")

        await trio.to_thread.run_sync(add)

    def outside() -> None:
        with pytest.raises(RuntimeError, match=r"must be used inside trio.run"):
            open_supervisor().__aenter__().send(None)

    await trio.to_thread.run_sync(outside)
