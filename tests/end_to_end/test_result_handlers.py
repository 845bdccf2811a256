"""result_handler of real pools in the real daemon."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import daemon, eventually, run_to_end, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.daemon import Daemon

#: Imported by the daemon, which finds it in its working directory.
HANDLERS = """\
import trio_supervisor

def accepts(event, response):
    print("accepts", type(event.payload()).__name__, event.payload().split("\\n")[1], response)

class Busy(trio_supervisor.RejectEvent):
    pass

def rejects_once(event, response, seen=[]):
    seen.append(event)
    if len(seen) == 1:
        raise Busy

class RejectEvent(Exception):
    '''Stands for Supervisor's, which handlers import by that name.'''

def rejects_once_by_name(event, response, seen=[]):
    seen.append(event)
    if len(seen) == 1:
        raise RejectEvent(response)

class Strict:
    @staticmethod
    def fails_once(event, response, seen=[]):
        seen.append(event)
        if len(seen) == 1:
            raise KeyError("no such thing")

def leaves(event, response):
    raise SystemExit(3)

def interrupts(event, response):
    raise KeyboardInterrupt

def describes(event, response):
    process = event.process
    print(type(event).__name__, event.serial, event.expected, process, process.config.name,
          process.group.config.name, process.pid)

def to_stdout(event, response):
    # As published handlers do: the listener sends back what it was sent.
    head, _, data = response.decode().partition("\\n")
    tokens = dict(token.split(":") for token in head.split())
    for line in data.splitlines():
        print(f"{tokens['processname']} {tokens['channel']} | {line}", flush=True)
"""
#: Sends back the payload; writes down what it heard, with the numbers.
ECHO = """\
import sys
from trio_supervisor import childutils
while True:
    headers, payload = childutils.listener.wait()
    with open(sys.argv[1], "a", encoding="utf-8") as heard:
        print(headers["poolserial"], payload.splitlines()[-1], file=heard)
    childutils.listener.send(payload)
"""
TALKER = "import time; print('fünf €', flush=True); print('two', flush=True); time.sleep(10000)"


def pool(directory: Path, name: str, handler: str, events: str = "REMOTE_COMMUNICATION") -> str:
    (directory / "echo.py").write_text(ECHO)
    (directory / name).touch()
    return (
        f"[eventlistener:{name}]\ncommand={sys.executable} {directory}/echo.py {directory}/{name}\n"
        f"events={events}\nresult_handler=handlers:{handler}\nstartsecs=0\n"
    )


def wait_for(running: Daemon, name: str, count: int) -> None:
    eventually(lambda: len(heard(running, name)) == count, f"{count} deliveries to {name}")


def heard(running: Daemon, name: str) -> list[str]:
    return (running.directory / name).read_text(encoding="utf-8").splitlines()


def printed(running: Daemon) -> str:
    """What was written to the daemon's stdout, by its log too: only pieces of lines are sure."""
    return (running.directory / "stdout").read_text(encoding="utf-8")


@pytest.mark.behaviour("events.md#result-handlers")
def test_what_handlers_do_in_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    names = {
        "accepting": "accepts",
        "rejecting": "rejects_once",
        "foreign": "rejects_once_by_name",
        "failing": "Strict.fails_once",
    }
    text = "".join(pool(tmp_path, name, handler) for name, handler in names.items())
    text += pool(tmp_path, "stdout_pool", "to_stdout", "PROCESS_LOG")
    text += (
        f'[program:talker]\ncommand={sys.executable} -X utf8 -c "{TALKER}"\n'
        "stdout_events_enabled=true\nstartsecs=0\nautostart=false\n"
    )
    with daemon(tmp_path, text) as running:
        for data in ("one", "zwölf"):
            running.rpc.sendRemoteCommEvent("t", data)

        # Accepted, whatever the answer was; the handler has the event and the bytes.
        wait_for(running, "accepting", 2)
        assert "accepts str one b'type:t\\none'" in printed(running)

        # Rejected by our class or by the name of theirs: delivered again, before the next one.
        for name in ("rejecting", "foreign"):
            wait_for(running, name, 3)
            assert heard(running, name) == ["0 one", "0 one", "1 zwölf"]
            assert f"WARN {name}: event was rejected\n" in running.log

        # Any other error: UNKNOWN, and the event waits for a new listener.
        running.wait_log("failing: has entered the UNKNOWN state and will no longer receive events")
        assert "WARN failing: event caused an error\nTraceback" in running.log
        assert "KeyError: 'no such thing'" in running.log
        assert heard(running, "failing") == ["0 one"]
        running.rpc.stopProcess("failing")
        running.rpc.startProcess("failing")
        wait_for(running, "failing", 3)
        assert heard(running, "failing") == ["0 one", "0 one", "1 zwölf"]

        # The handler most in use, of the package supervisor-stdout, prints what it was sent back.
        running.rpc.startProcess("talker")
        eventually(lambda: "talker stdout | two" in printed(running), "the program's words")
        assert "talker stdout | fünf €" in printed(running)


@pytest.mark.parametrize("handler", ["handlers:nope", "nowhere:f"])
def test_a_handler_that_is_not_there_is_a_configuration_error(handler: str, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    text = f"[eventlistener:l]\ncommand=/bin/cat\nevents=TICK_5\nresult_handler={handler}\n"
    config = write_config(tmp_path, text)
    done = run_to_end("-n", "-c", str(config), cwd=tmp_path)
    assert done.returncode == 2
    assert f"{handler} cannot be resolved within [eventlistener:l]" in done.stderr


@pytest.mark.parametrize(
    ("handler", "error"), [("leaves", "SystemExit: 3"), ("interrupts", "KeyboardInterrupt")]
)
def test_a_handler_that_exits_is_trouble_of_its_listener_only(
    handler: str, error: str, tmp_path: Path
) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    text = pool(tmp_path, "bad", handler) + pool(tmp_path, "good", "rejects_once")
    with daemon(tmp_path, text) as running:
        running.rpc.sendRemoteCommEvent("t", "one")
        wait_for(running, "good", 2)
        running.wait_log("bad: has entered the UNKNOWN state and will no longer receive events")
        assert "WARN bad: event caused an error\nTraceback" in running.log
        assert f"\n{error}\n" in running.log
        assert running.state("bad") == "RUNNING"


def test_what_a_handler_prints_is_written_before_the_daemon_is_killed(tmp_path: Path) -> None:
    """Standard output is a file, so Python buffers it; handlers print process events."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    text = pool(tmp_path, "telling", "describes", "PROCESS_STATE_EXITED")
    text += "[group:g]\nprograms=short\n[program:short]\ncommand=/bin/true\nstartsecs=0\n"
    with daemon(tmp_path, text + "autorestart=false\n") as running:
        running.wait_log("exited: short")
        (pid,) = re.findall(r"spawned: 'short' with pid (\d+)", running.log)
        line = f"ProcessStateExitedEvent 0 True short short g {pid}\n"
        eventually(lambda: line in printed(running), "the words of the handler")
