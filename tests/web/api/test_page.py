"""The examples of docs/api.md answer what the page shows; its table is that of the routes.

``TRIO_SUPERVISOR_REGENERATE=1 pytest tests/web/api/test_page.py`` writes the table anew.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.kit.curl import curl
from tests.kit.daemon import BASE, daemon, free_port
from tests.kit.docs import DOCS, blocks
from trio_supervisor.web.api.route import REQUIRED, Field, Route
from trio_supervisor.web.api.routes import HEALTH, ROUTES

PAGE = DOCS / "api.md"
TABLE = re.compile(r"(<!-- routes: [^\n]*-->\n).*?(<!-- end of routes -->)", re.DOTALL)

#: What differs from run to run, and is shown as it was once.
VARYING = {
    *("start", "stop", "now", "time", "pid", "id", "serial", "uptime", "description"),
    *("cpu_seconds", "memory", "processes", "lifetime"),
    *("logfile", "stdout_logfile", "stderr_logfile"),
}


def steady(value: Any) -> Any:
    """A value without what differs; an object's members by name."""
    if isinstance(value, dict):
        return {
            name: type(member).__name__ if name in VARYING else steady(member)
            for name, member in value.items()
        }
    return [steady(item) for item in value] if isinstance(value, list) else value


def assert_shows(shown: str, answered: Any) -> None:
    """``...`` at the end of an object stands for its other members."""
    if ", ...}" in shown:
        expected = json.loads(shown.replace(", ...}", "}"))
        answered = {name: answered[name] for name in expected}
    else:
        expected = json.loads(shown)
    assert steady(answered) == steady(expected)


def examples() -> Iterator[tuple[str, str]]:
    """Commands and what they print, in the order of the page."""
    for block in blocks("api.md", "console"):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command.removesuffix(" | python3 -m json.tool"), output


def test_the_examples(tmp_path: Path) -> None:
    port = free_port()
    (config,) = blocks("api.md", "ini")
    base = BASE.replace("[rpcinterface:supervisor]\n", "").replace(
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n", ""
    )
    with daemon(tmp_path, config.replace("9001", str(port)), base=base) as running:
        running.wait_for("database", "FATAL")
        running.wait_for("web", "RUNNING")
        seen = []
        for command, output in examples():
            seen.append(command)
            if "/events" in command:
                check_events(command, output, port)
            elif "/follow" in command:
                with closing(curl(command, port).lines()) as lines:
                    assert f"{next(lines)}\n...\n" == output
            elif "/logs/" in command:
                assert curl(command, port).body() == output
            elif " | grep ^" in command:
                check_grep(command, output, port)
            else:
                assert_shows(output, curl(command, port).json())
        assert len(seen) == 15


def check_grep(command: str, output: str, port: int) -> None:
    command, _, start = command.partition(" | grep ^")
    lines = curl(command, port).body().splitlines(keepends=True)
    assert "".join(line for line in lines if line.startswith(start)) == output


def check_events(command: str, output: str, port: int) -> None:
    """Of a restart, asked for while the stream is open."""
    expected = [line for line in output.split("\n") if line]
    restart = "curl --json '{}' http://127.0.0.1:9001/api/v1/processes/web/restart"
    assert restart in PAGE.read_text(encoding="utf-8")
    with closing(curl(command, port).lines()) as lines:
        other = threading.Thread(target=lambda: curl(restart, port).body())
        other.start()
        heard = [line for line in (next(lines) for _ in output.strip("\n").split("\n")) if line]
        other.join()
    assert [fields(line) for line in heard] == [fields(line) for line in expected]


def fields(line: str) -> tuple[str, Any]:
    name, _, value = line.partition(": ")
    if name == "data":
        return name, steady(json.loads(value))
    return name, "a number" if name == "id" and value.isdecimal() else value


def test_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    fresh = TABLE.sub(lambda found: f"{found[1]}{table()}{found[2]}", text)
    if os.environ.get("TRIO_SUPERVISOR_REGENERATE"):
        PAGE.write_text(fresh, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == fresh


def table() -> str:
    rows = [row(route) for route in (*HEALTH, *ROUTES)]
    fields = [field for route in ROUTES for field in (*route.query, *route.body)]
    return "\n".join(
        [
            "| request | what | fields |",
            "|---|---|---|",
            *rows,
            "",
            "The fields of a GET are in its query, those of a POST in its body:",
            "",
            *dict.fromkeys(f"* `{f.name}` ({f.type}): {f.doc}." for f in fields),
            "",
        ]
    )


def row(route: Route) -> str:
    given = ", ".join(named(field) for field in (*route.query, *route.body))
    return f"| `{route.method} {route.path}` | {route.summary} | {given} |"


def named(field: Field) -> str:
    return f"**`{field.name}`**" if field.default is REQUIRED else f"`{field.name}`"
