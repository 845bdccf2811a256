"""The sessions of docs/policies.md with a daemon."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kit.daemon import BASE, daemon, free_port
from tests.kit.docs import blocks, sessions
from tests.kit.machine import path_of
from tests.kit.reader import Reader
from tests.kit.root import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.daemon import Daemon

EXAMPLES = blocks("policies.md", "ini")
#: Where sessions of the page are tested.
MODULES = ("test_policies_sessions.py", "test_policies.py", "test_containers.py")


@contextmanager
def session(directory: Path, config: str) -> Iterator[tuple[Reader, Daemon]]:
    """A daemon with an example of the page, and a reader in its directory."""
    base = BASE.replace("[supervisord]\n", "[supervisord]\nextended=true\n")
    base = base.replace("loglevel=debug\n", "").replace("sup.log", "supervisord.log")
    with daemon(directory, config.partition("\n\n")[2], base=base) as running:
        (directory / "supervisord.conf").symlink_to("c.conf")
        yield Reader(directory), running


def example(text: str) -> str:
    (found,) = [block for block in EXAMPLES if text in block]
    return found


def shown(text: str) -> tuple[str, str]:
    (found,) = [pair for pair in sessions("policies.md") if text in "\n".join(pair)]
    return found


def with_free_ports(config: str) -> str:
    for port in sorted(set(re.findall(r"\b76\d\d\b", config))):
        config = config.replace(port, str(free_port()))
    return config


def test_programs_that_are_not_ready(tmp_path: Path) -> None:
    path_of("redis-server")
    # Time enough to see it wait, on a busy machine too.
    config = with_free_ports(example("[program:late]")).replace("2s", "15s")
    with session(tmp_path, config) as (reader, running):
        reader.sees(*shown("late                             STARTING"))
        running.wait_for("late", "FATAL")
        reader.sees(*shown("late: FATAL"))


def test_dependencies(tmp_path: Path) -> None:
    path_of("redis-server")
    with session(tmp_path, with_free_ports(example("[program:migrate]"))) as (reader, running):
        running.wait_for("web", "RUNNING")
        reader.sees(*shown("tsupervisorctl graph"))
        assert reader.prints("tsupervisorctl stop db", "db: stopped\n")
        reader.sees(*shown("waiting for db, which is STOPPED"))
        command, order = shown("order of starting")
        assert order in reader.run(command).out


@needs_root
def test_what_is_run_around_a_program(tmp_path: Path) -> None:
    (tmp_path / "worker.env").write_text("DATABASE_URL=postgres://app@db/app\n")
    config = example("[program:worker]\ncommand = sh -c 'echo \"$DATABASE_URL")
    (worker,) = re.findall(r"\[program:worker\]\n(?:.+\n)+", config)
    worker = worker.replace("/etc/worker.env", str(tmp_path / "worker.env"))
    log = "stdout_logfile = %(here)s/worker.log\nredirect_stderr = true\n"
    with session(tmp_path, f"\n\n{worker}{log}") as (reader, running):
        running.wait_for("worker", "RUNNING")
        reader.run("tsupervisorctl stop worker")
        reader.sees(*shown("cat worker.log"))
        reader.sees(*shown("grep killing"))


def test_every_session_is_tested() -> None:
    source = "".join(Path(__file__).with_name(name).read_text() for name in MODULES)
    tested = set(re.findall(r'"([^"\n]{8,})"', source))
    for pair in sessions("policies.md"):
        assert any(text in "\n".join(pair) for text in tested), pair[0]
