"""Listeners as they are: superlance unmodified, those of docs/events.md, those of containers."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import PATIENCE, Daemon, daemon, eventually
from tests.kit.docs import blocks, program
from tests.kit.machine import path_of
from tests.kit.mail import Mailbox, SmtpServer, serving

PYTHON = sys.executable
#: Beyond ASCII, with a newline: more bytes than characters.
DATA = "nön€ ascii 😀\nsecond line"


class _Broken(http.server.BaseHTTPRequestHandler):
    """A web server that needs a restart."""

    def do_GET(self) -> None:
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:
        pass


def listener(name: str, command: str, events: str, *options: str) -> str:
    lines = "".join(f"{option}\n" for option in options)
    return (
        f"[eventlistener:{name}]\ncommand={command}\nevents={events}\nstartsecs=0\n"
        f"buffer_size=200\n{lines}"
    )


def superlance(name: str, arguments: str, events: str) -> str:
    return listener(name, f"{PYTHON} -m superlance.{name} {arguments}", events)


def sleeper(name: str, *options: str) -> str:
    script = "import time; time.sleep(10000)"
    lines = "".join(f"{option}\n" for option in options)
    return f'[program:{name}]\ncommand={PYTHON} -c "{script}"\nstartsecs=0\n{lines}'


def failing(name: str, code: int, *options: str) -> str:
    lines = "".join(f"{option}\n" for option in options)
    return (
        f"[program:{name}]\ncommand=/bin/sh -c 'exit {code}'\nautorestart=false\n"
        f"autostart=false\n{lines}"
    )


def test_superlance_unmodified(tmp_path: Path) -> None:
    """crashmail, httpok, and the two that send by SMTP in batches."""
    box = Mailbox(tmp_path)
    smtp = SmtpServer()
    web = http.server.HTTPServer(("127.0.0.1", 0), _Broken)
    mail = f'-s "{box.command}" -m ops@example.com'
    batch = (
        f"--toEmail=ops@example.com --fromEmail=me@example.com --smtpHost={smtp.address} "
        "--interval=0.001 --tickEvent=TICK_5"
    )
    text = (
        superlance("httpok", f"-p web {mail} http://127.0.0.1:{web.server_port}/health", "TICK_5")
        + superlance("crashmail", f"-p crash {mail}", "PROCESS_STATE_EXITED")
        + superlance("crashmailbatch", batch, "PROCESS_STATE_EXITED,TICK_5")
        + superlance("fatalmailbatch", batch, "PROCESS_STATE_FATAL,TICK_5")
        + sleeper("web")
        + failing("crash", 9, "startsecs=0")
        + failing("broken", 1, "startsecs=1", "startretries=0")
    )
    with serving(smtp), serving(web), daemon(tmp_path, text) as running:
        for name in ("web", "httpok", "crashmail", "fatalmailbatch"):
            running.wait_for(name, "RUNNING")
        before = running.pid("web")
        running.rpc.startProcess("crash", False)
        running.rpc.startProcess("broken", False)
        running.wait_for_another_child("web", before)
        (crash,) = eventually(lambda: box.mails("crash"), "crashmail's mail")
        assert "Process crash in group crash exited unexpectedly" in crash
        assert "from state RUNNING" in crash
        assert eventually(lambda: box.mails("httpok"), "httpok's mail")
        eventually(lambda: len(smtp.mails) >= 2, "the mails of both batches")
        texts = "".join(smtp.mails)
        assert "Process crash:crash (pid" in texts
        assert "Process broken:broken failed to start too many times" in texts
        assert "UNKNOWN state" not in running.log


def test_memmon_unmodified(tmp_path: Path) -> None:
    path_of("ps")  # which memmon runs
    box = Mailbox(tmp_path)
    arguments = f'-p big=1KB -s "{box.command}" -m ops@example.com'
    with daemon(tmp_path, superlance("memmon", arguments, "TICK_5") + sleeper("big")) as running:
        for name in ("big", "memmon"):
            running.wait_for(name, "RUNNING")
        running.wait_for_another_child("big", running.pid("big"))
        assert eventually(lambda: box.mails("memmon"), "memmon's mail")


#: One that was written for another language's habit of reading bytes.
NODE = """\
const fs = require('fs');
let pending = Buffer.alloc(0);
process.stdout.write('READY\\n');
process.stdin.on('data', (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  for (;;) {
    const end = pending.indexOf('\\n');
    if (end < 0) return;
    const header = pending.toString('latin1', 0, end);
    const length = Number(/ len:(\\d+)$/.exec(header)[1]);
    if (pending.length < end + 1 + length) return;
    const name = / eventname:(\\S+)/.exec(header)[1];
    const payload = pending.toString('utf8', end + 1, end + 1 + length);
    fs.appendFileSync(process.argv[2], `${name} ${payload}\\n`);
    pending = pending.subarray(end + 1 + length);
    process.stdout.write('RESULT 2\\nOKREADY\\n');
  }
});
"""
#: Reads characters, as every Python listener does; with the module of the project.
CHILDUTILS = """\
import sys
from {module} import childutils
while True:
    headers, payload = childutils.listener.wait(sys.stdin, sys.stdout)
    with open(sys.argv[1], "a", encoding="utf-8") as log:
        log.write(headers["eventname"] + " " + payload + "\\n")
    childutils.listener.ok(sys.stdout)
"""


#: Listeners of the page, by their language.
PAGE = {"sh": "listener.sh", "perl": "listener.pl"}


@pytest.mark.parametrize("language", ["sh", "perl", "node", "ours", "theirs"])
def test_listeners_in_any_language_stay_in_step(language: str, tmp_path: Path) -> None:
    """Characters for those that read text, bytes for those that do not."""
    script = tmp_path / "script"
    heard = tmp_path / "heard"
    heard.touch()
    command = PYTHON if language in ("ours", "theirs") else path_of(language)
    length = "bytes"
    match language:
        case "sh" | "perl":
            script.write_text(program("events.md", language, PAGE[language]))
        case "node":
            script.write_text(NODE)
        case "ours" | "theirs":
            module = "trio_supervisor" if language == "ours" else "supervisor"
            script.write_text(CHILDUTILS.format(module=module))
            length = "characters"
    text = listener(
        "l", f"{command} {script} {heard}", "REMOTE_COMMUNICATION", f"event_len={length}"
    )
    with daemon(tmp_path, text) as running:
        for number in range(3):
            running.rpc.sendRemoteCommEvent(f"t{number}", DATA)
        expected = "".join(f"REMOTE_COMMUNICATION type:t{n}\n{DATA}\n" for n in range(3))
        eventually(lambda: heard.read_text() == expected, "all events heard")
        assert running.state("l") == "RUNNING"
        assert "UNKNOWN state" not in running.log


def test_the_first_listener_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "notify.py").write_text(program("events.md", "python", "notify.py"))
    text = listener(
        "notify",
        f"{PYTHON} notify.py",
        "PROCESS_STATE_EXITED, PROCESS_STATE_FATAL",
        f"directory={tmp_path}",
        f"stderr_logfile={tmp_path}/said",
    ) + failing("a", 7, "startsecs=0")
    with daemon(tmp_path, text) as running:
        running.rpc.startProcess("a", False)
        said = tmp_path / "said"
        eventually(lambda: said.read_text() == "PROCESS_STATE_EXITED a\n", "the exit told")


def test_the_first_listener_without_a_supervisor(tmp_path: Path) -> None:
    """The page's own console session."""
    (tmp_path / "notify.py").write_text(program("events.md", "python", "notify.py"))
    [session] = [body for body in blocks("events.md", "console") if "notify.py" in body]
    commands = [line[2:] for line in session.splitlines() if line.startswith("$ ")]
    done = subprocess.run(
        ["/bin/sh", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    shown = "".join(f"{line}\n" for line in session.splitlines() if not line.startswith("$ "))
    assert done.stdout == shown


#: A way to tell somebody that does not work at first; what it prints must not reach the protocol.
TELL = """\
import pathlib, sys
print("RESULT of telling: none")
told = pathlib.Path("told")
if not told.exists():
    told.touch()
    sys.exit("nobody there")
told.write_text(told.read_text() + sys.stdin.read())
"""


def test_the_listener_of_the_page_for_production(tmp_path: Path) -> None:
    (tmp_path / "alert.py").write_text(program("events.md", "python", "alert.py"))
    (tmp_path / "tell.py").write_text(TELL)
    text = (
        listener(
            "alert",
            f"{PYTHON} alert.py {PYTHON} tell.py",
            "PROCESS_STATE_EXITED, PROCESS_STATE_FATAL",
            f"directory={tmp_path}",
            f"stderr_logfile={tmp_path}/said",
        )
        + failing("good", 0, "startsecs=0")
        + failing("bad", 7, "startsecs=0")
        + failing("worse", 1, "startsecs=10000", "startretries=0")
    )
    with daemon(tmp_path, text) as running:
        for name in ("good", "bad", "worse"):
            running.rpc.startProcess(name, False)
        told = tmp_path / "told"
        eventually(lambda: told.exists() and told.read_text().count("\n") == 2, "both being told")
        assert sorted(told.read_text().splitlines()) == [
            "bad:bad went from RUNNING to PROCESS_STATE_EXITED",
            "worse:worse went from BACKOFF to PROCESS_STATE_FATAL",
        ]
        assert running.log.count("alert: event was rejected") == 1
        assert "nobody there" in (tmp_path / "said").read_text()
        assert running.state("alert") == "RUNNING"
        assert "UNKNOWN state" not in running.log


def test_the_embedded_program_of_the_page(tmp_path: Path) -> None:
    source = program("events.md", "python", "embedded.py")
    script = tmp_path / "embedded.py"
    script.write_text(source)
    (tmp_path / "supervisord.conf").write_text(
        "[supervisord]\n" + sleeper("keeps") + failing("x", 0, "startsecs=0", "autostart=true")
    )
    done = subprocess.run(
        [PYTHON, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "PROCESS_STATE_EXITED x was RUNNING\n" in done.stdout
    assert done.stdout.endswith("dropped: 0\n")


#: What images copy from each other. Neither ever sends a result.
IDIOMS = {
    "loop": (
        '/bin/bash -c \'printf "READY\\n"; while read line; do '
        'echo "Processing Event: $line" >&2; kill -3 $(cat "{pidfile}"); done < /dev/stdin\''
    ),
    "parent": "/bin/sh -c 'echo READY && read line && kill -s QUIT $PPID'",
}


@pytest.mark.parametrize("idiom", IDIOMS)
def test_the_idiom_of_containers_ends_the_supervisor(idiom: str, tmp_path: Path) -> None:
    command = IDIOMS[idiom].format(pidfile=tmp_path / "sup.pid")
    text = (
        listener(
            "processes",
            command,
            "PROCESS_STATE_STOPPED, PROCESS_STATE_EXITED, PROCESS_STATE_FATAL",
        )
        + sleeper("other")
        + failing("broken", 1, "startsecs=0")
    )
    with daemon(tmp_path, text) as running:
        running.wait_for("other", "RUNNING")
        other = running.pid("other")
        running.rpc.startProcess("broken", False)
        assert running.process.wait(PATIENCE) == 0
        assert "received SIGQUIT indicating exit request" in running.log
        with pytest.raises(ProcessLookupError):
            os.kill(other, 0)


RECORDER = """\
import sys
log = open(sys.argv[1], "a")
while True:
    print("READY", flush=True)
    line = sys.stdin.readline()
    if not line:
        break
    header = dict(token.split(":", 1) for token in line.split())
    payload = sys.stdin.read(int(header["len"]))
    print(line.rstrip(), ascii(payload), file=log, flush=True)
    sys.stdout.write("RESULT 2\\nOK")
    sys.stdout.flush()
"""


def recorder(directory: Path, events: str) -> str:
    (directory / "recorder.py").write_text(RECORDER)
    (directory / "heard").touch()
    return listener("l", f"{PYTHON} {directory}/recorder.py {directory}/heard", events)


def heard(running: Daemon) -> list[str]:
    return (running.directory / "heard").read_text().splitlines()


def names(lines: list[str]) -> list[str]:
    return [line.partition("eventname:")[2].split()[0] for line in lines]


def since_the_end_began(running: Daemon) -> list[str]:
    told = names(heard(running))
    first = "SUPERVISOR_STATE_CHANGE_STOPPING"
    return told[told.index(first) :] if first in told else []


@pytest.mark.behaviour("events.md#order-of-events")
def test_shutdown_with_one_slow_program(tmp_path: Path) -> None:
    """The pool hears of all that happens before its turn, ticks included."""
    slow = (
        "[program:slow]\ncommand=/bin/sh -c "
        "'trap : TERM; echo deaf; until [ -e go ]; do sleep 0.1; done'\n"
        "directory=%(here)s\nstartsecs=0\nstopwaitsecs=60\nstdout_logfile=%(here)s/slow.log\n"
    )
    with daemon(tmp_path, recorder(tmp_path, "EVENT") + slow) as running:
        log = tmp_path / "slow.log"
        eventually(lambda: log.exists() and log.read_text(), "the program being deaf")
        running.signal(signal.SIGTERM)
        eventually(lambda: "TICK_5" in since_the_end_began(running), "a tick")
        (tmp_path / "go").touch()
        assert running.process.wait(PATIENCE) == 0
        told = since_the_end_began(running)
        assert told[1] == "PROCESS_STATE_STOPPING"
        assert "TICK_5" in told[2:]
        assert told[-1] == "PROCESS_STATE_STOPPED"


@pytest.mark.behaviour("events.md#serial-numbers")
def test_a_restart_keeps_serials_and_begins_poolserials(tmp_path: Path) -> None:
    def numbers() -> list[tuple[int, int]]:
        tokens = [dict(t.split(":", 1) for t in line.split()[:7]) for line in heard(running)]
        return [(int(token["serial"]), int(token["poolserial"])) for token in tokens]

    with daemon(tmp_path, recorder(tmp_path, "SUPERVISOR_STATE_CHANGE")) as running:
        eventually(lambda: names(heard(running)), "the first RUNNING")
        running.rpc.restart()
        eventually(lambda: len(numbers()) == 3, "the second RUNNING")
        assert names(heard(running)) == [
            "SUPERVISOR_STATE_CHANGE_RUNNING",
            "SUPERVISOR_STATE_CHANGE_STOPPING",
            "SUPERVISOR_STATE_CHANGE_RUNNING",
        ]
        assert numbers() == [(0, 0), (1, 1), (2, 0)]
