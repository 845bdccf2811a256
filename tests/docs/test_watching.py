"""The commands on docs/watching.md print what the page shows."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from tests.kit.ctl import environment, install, run
from tests.kit.daemon import daemon, eventually
from tests.kit.docs import DOCS, blocks
from tests.kit.screen import screen
from trio_supervisor.cli.ctl.events import described
from trio_supervisor.cli.ctl.top.keys import KEYS

PAGE = "watching.md"


def sessions() -> list[tuple[str, str]]:
    """Return each command of the page with its output."""
    text = "".join(blocks(PAGE, "console"))
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def prints(command: list[str], output: str, directory: Path, path: str) -> bool:
    return run(command, cwd=directory, PATH=path).out == output


def test_the_examples(tmp_path: Path) -> None:
    (config,) = blocks(PAGE, "ini")
    binaries = Path(install(tmp_path / "bin")).parent
    path = f"{binaries}:{environment()['PATH']}"
    with daemon(tmp_path, config) as running:
        running.wait_for("database", "FATAL")
        running.wait_for("import", "EXITED")
        (tmp_path / "c.conf").rename(
            tmp_path / "supervisord.conf"
        )  # where the commands look for it
        for command, output in sessions():
            shell = ["/bin/sh", "-c", command]
            # The output of a process arrives a moment later.
            eventually(
                partial(prints, shell, output, tmp_path, path), f"{command} printing {output!r}"
            )
        top = [str(binaries / "tsupervisorctl"), "top"]
        with screen(top, cwd=tmp_path) as person:
            person.resize(96, 13)
            person.wait_for("^web:web_8002 +RUNNING")
            person.wait_for("LAST OUTPUT$")
            person.type("\r")
            person.wait_for("^cannot open /var/lib/db$")
            shown, said = person.lines, blocks(PAGE, "text")[-1].splitlines()
            person.type("q")
            assert person.end()[0] == 0
    # The other lines contain addresses, pids and times, which differ.
    assert len(shown) == len(said)
    for line in (1, 2, 3, 4, 9, 10, 11, 12):
        assert shown[line] == said[line]


def test_events_are_formatted_as_shown() -> None:
    (line,) = re.findall(
        r"^(.*) PROCESS_STATE_RUNNING .*$", (DOCS / PAGE).read_text(), re.MULTILINE
    )
    fields = {
        "event": "PROCESS_STATE_RUNNING",
        "serial": 1,
        "time": 0,
        "processname": "web_8001",
        "groupname": "web",
        "from_state": "STARTING",
        "pid": 1328,
    }
    shown = described(fields)[len(line) :]
    assert shown in (DOCS / PAGE).read_text()


def test_every_key_is_documented() -> None:
    text = (DOCS / PAGE).read_text()
    for _, written, _, _ in KEYS:
        if re.fullmatch("[A-Za-z/?]", written):
            assert f"`{written}`" in text, written
