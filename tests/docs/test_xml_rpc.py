"""The clients on docs/xml-rpc.md print what the page says."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.kit.ctl import environment
from tests.kit.daemon import PATIENCE, daemon, eventually, free_port
from tests.kit.docs import blocks, program, sessions
from tests.kit.machine import path_of

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "xml-rpc.md"


def printed(command: list[str], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_the_clients_print_what_is_shown(tmp_path: Path) -> None:
    port = str(free_port())
    _, configuration = blocks(PAGE, "ini")
    configuration = configuration.replace("9001", port)
    (python,) = [text for text in blocks(PAGE, "python") if "# client.py" in text]
    listener = program(PAGE, "python", "listener.py")
    (php,) = blocks(PAGE, "php")
    ((curl, answer),) = sessions(PAGE)
    scripts = {"client.py": python, "client.php": php, "listener.py": listener}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text.replace("9001", port))
    configuration += "[program:listener]\ncommand=%(ENV_PYTHON)s listener.py\ndirectory=%(here)s\n"
    configuration += "startsecs=0\nstdout_logfile=%(here)s/listener.log\nautorestart=false\n"
    configuration = configuration.replace("%(ENV_PYTHON)s", sys.executable)
    base = configuration.replace("supervisord.pid", "sup.pid").replace("supervisor.sock", "s.sock")
    with daemon(tmp_path, "", base=base) as running:
        assert printed([sys.executable, "client.py"], tmp_path) == blocks(PAGE, "text")[0]
        assert printed([path_of("php"), "client.php"], tmp_path) == "RUNNING\n"
        words = shlex.split(curl.replace("9001", port))
        assert printed([path_of("curl"), *words[1:]], tmp_path) == answer
        log = tmp_path / "listener.log"
        eventually(lambda: log.exists() and log.read_text() == "RUNNING\n", "the listener's line")
        running.rpc.getState()
