"""Transcripts of the client, against a running daemon.

The daemon is ours, or the one named by TRIO_SUPERVISOR_TEST_DAEMON (a command line), for example
Supervisor. All steps run once, in order; then each is a test of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.kit.ctl import Ran, environment, finish, install, read_until, run, spawn
from tests.kit.daemon import eventually, free_port
from trio_supervisor.cli.ctl.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
DAEMON_VARIABLE = "TRIO_SUPERVISOR_TEST_DAEMON"
OTHER_DAEMON = os.environ.get(DAEMON_VARIABLE)

STEP = re.compile(r"([a-z-]+): (<reference> )?(?:<end (\w+)> )?(.*?) -> (\S+)(?: \| ?(.*))?")
STDIN = re.compile(r' <stdin (".*?")>')
INTERRUPT = re.compile(r" <interrupt(?: (\S+): ([A-Z]+))?>")
PATTERNS = {
    "PID": r"[1-9]\d*",
    "UPTIME": r"(?:\d+ days?, )?\d+:\d\d:\d\d",
    "WHEN": r"[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M",
    "VERSION": r"\d+\.\d+\S*",
    "ANY": r".*",
    "TABLE": r"(?:\S+ +[A-Z]+ +.*\n)*\S+ +[A-Z]+ +.*",
    "HELP list": r"\ndefault commands \(type help <topic>\):\n=+\n(?:.*\n)+",
}
EDITS = (
    ('[program:flop]\ncommand=/bin/sh -c "exit 3"\nautostart=false\nstartretries=0\n', ""),
    ("[program:pool]\ncommand=/bin/sleep 100000", "[program:pool]\ncommand=/bin/sleep 200000"),
    ("[program:slow]", "[program:fresh]\ncommand=/bin/sleep 100000\n[program:slow]"),
)


class Step(NamedTuple):
    rule: str
    """Anchor of a heading in docs/behaviour/client.md."""
    reference_only: bool
    begun: str | None
    """Name of the ``@begin`` line whose end it is."""
    command: str
    status: str
    out: str
    """With the placeholders of the file."""
    err: str


def read_script() -> list[Step | str]:
    """Steps and, between them, the ``@`` lines."""
    script: list[Step | str] = []
    for line in (HERE / "ctl_transcripts.txt").read_text().splitlines():
        if line.startswith("@"):
            script.append(line)
        elif match := STEP.fullmatch(line):
            out = "" if match[6] is None else match[6] + "\n"
            script.append(Step(match[1], bool(match[2]), match[3], match[4], match[5], out, ""))
        elif line.startswith("  "):
            step = script[-1]
            assert isinstance(step, Step)
            key = "err" if line[2] == "!" else "out"
            script[-1] = step._replace(**{key: getattr(step, key) + line[4:] + "\n"})
        else:
            assert not line or line.startswith("#"), line
    kept: list[Step | str] = []
    for item in script:
        if isinstance(item, str) or not item.reference_only:
            kept.append(item)
        elif OTHER_DAEMON is not None:
            kept[-1] = item
    return kept


class Stage:
    """The directory, the daemon and the commands of the transcript."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.results: list[tuple[re.Pattern[str], Ran]] = []
        self.program = install(directory / "bin")
        self._places = {
            "HERE": str(directory),
            "ARGV0": self.program,
            "PORT": str(free_port()),
            "DEAD": str(free_port()),
        }
        self._daemon: subprocess.Popen[bytes] | None = None
        self._begun: dict[str, subprocess.Popen[bytes]] = {}
        (directory / "logs").mkdir()
        #: Without this file the program ``deaf`` does not end when it is told to.
        self._hears = directory / "hears"
        self._hears.touch()
        template = (HERE / "ctl_transcripts.ini").read_text()
        self._original = template.replace("%PORT%", self._places["PORT"])
        self._write(self._original)

    def _write(self, text: str) -> None:
        (self.directory / "super.conf").write_text(text)
        (self.directory / "super.conf").chmod(0o644)

    def _filled(self, text: str) -> str:
        for name, value in self._places.items():
            text = text.replace(f"<{name}>", value)
        return text

    def _argv(self, command: str) -> list[str]:
        words = shlex.split(self._filled(command))
        return [self.program, *(["-c", "super.conf"] if words[0] == "ctl" else []), *words[1:]]

    def _ctl(self, *words: str) -> Ran:
        return run([self.program, "-c", "super.conf", *words], cwd=self.directory)

    def pattern(self, text: str) -> str:
        text = self._filled(text).replace("␠", " ").replace("␀\n", "")
        parts = re.split(r"<([A-Z]+(?: [a-z]+)?)>", text)
        for index, name in enumerate(parts):
            if index % 2 == 0:
                parts[index] = re.escape(name)
            elif name in PATTERNS:
                parts[index] = PATTERNS[name]
            else:
                parts[index] = self._help(name.removeprefix("HELP "))
        return "".join(parts)

    def _help(self, action: str) -> str:
        """What a mistake shows, or, asked for, the same and what only this client has."""
        both = "\n".join(COMMANDS[action].usage("")), "\n".join(COMMANDS[action].help)
        return "|".join(f"(?:{re.escape(text)})" for text in both).join(("(?:", ")"))

    def between(self, line: str) -> None:
        """Do what an ``@`` line says."""
        word, _, rest = line[1:].partition(" ")
        if word == "begin":
            name, _, command = rest.partition(" ")
            self._begun[name] = spawn(self._argv(command), cwd=self.directory)
        elif word == "until":
            if rest == "socket gone":
                eventually(lambda: not (self.directory / "s.sock").exists(), rest)
            else:
                self._until_state(*rest.removeprefix("status ").split(": "))
        elif word == "start":
            self._start_daemon()
        elif word == "deaf":
            self._hears.unlink()
        elif word == "hears":
            self._hears.touch()
        elif word == "edit":
            text = self._original
            for before, after in EDITS:
                assert before in text
                text = text.replace(before, after)
            self._write(text)
        elif word == "break":
            self._write(self._original + "\n[program:broken]\n")
        elif word == "original":
            self._write(self._original)
        else:
            assert word == "nosect", line
            (self.directory / "nosect.conf").write_text("[supervisord]\n")

    def _until_state(self, name: str, state: str) -> None:
        eventually(lambda: state in self._ctl("status", name).out, f"{name} being {state}")

    def _start_daemon(self) -> None:
        daemon = shlex.split(OTHER_DAEMON or "") or [sys.executable, "-m", "trio_supervisor"]
        with (self.directory / "daemon.out").open("wb") as out:
            self._daemon = subprocess.Popen(
                [*daemon, "-n", "-c", "super.conf"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment(),
            )

        def answers() -> bool:
            assert self._daemon is not None
            if self._daemon.poll() is not None:
                raise AssertionError((self.directory / "daemon.out").read_text())
            return self._ctl("status").out.count("RUNNING") == 3

        eventually(answers, "the daemon having started its programs")

    def play(self, step: Step) -> None:
        """Perform a step and keep what came of it."""
        command, given, interrupt = step.command, "", INTERRUPT.search(step.command)
        if stdin := STDIN.search(command):
            given = json.loads(self._filled(stdin[1]))
            command = command.replace(stdin[0], "")
        expected = self.pattern(step.out)
        if step.begun is not None:
            ran = finish(self._begun.pop(step.begun))
        elif interrupt is not None:
            process = spawn(self._argv(command.replace(interrupt[0], "")), cwd=self.directory)
            seen = ""
            if interrupt[1]:
                self._until_state(interrupt[1], interrupt[2])
            else:
                before = re.compile(expected.removesuffix(re.escape("\n")))
                seen = read_until(process, before.fullmatch)
            process.send_signal(signal.SIGINT)
            ran = finish(process, seen)
        else:
            ran = run(self._argv(command), cwd=self.directory, stdin=given)
        whole = f"{expected}-- {re.escape(self._filled(step.err))}-- {step.status}"
        self.results.append((re.compile(whole), ran))

    def close(self) -> None:
        for process in self._begun.values():
            process.kill()
            process.communicate()
        if self._daemon is not None:
            if self._daemon.poll() is None:
                self._daemon.terminate()
            self._daemon.wait(30)


SCRIPT = read_script()
STEPS = [step for step in SCRIPT if isinstance(step, Step)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("ctl"))
    try:
        for step in SCRIPT:
            if isinstance(step, str):
                stage.between(step)
            else:
                stage.play(step)
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=step.command, marks=pytest.mark.behaviour(f"client.md#{step.rule}"))
        for number, step in enumerate(STEPS)
    ],
)
def test_transcript(stage: Stage, number: int) -> None:
    pattern, ran = stage.results[number]
    status = "SIGINT" if ran.status == -signal.SIGINT else ran.status
    assert pattern.fullmatch(f"{ran.out}-- {ran.err}-- {status}"), (pattern.pattern, ran)
