"""The reference pages, the schema and the sample are made from their sources and kept so.

``TRIO_SUPERVISOR_REGENERATE=1 pytest tests/test_reference.py`` writes the files anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.config.test_toml import SKETCH
from tests.kit import (
    ctl_reference,
    man_pages,
    metrics_reference,
    state_reference,
    xmlrpc_reference,
)
from tests.kit.api_reference import RECEIVED, not_on_the_page, reference
from tests.kit.config import load
from tests.kit.machine import path_of
from tests.kit.reference import EFFECTS, markdown, schema
from trio_supervisor import open_supervisor
from trio_supervisor.cli.sample import sample
from trio_supervisor.core.config.model import AUTO
from trio_supervisor.core.config.options import TABLES, RestartScope
from trio_supervisor.core.events import EVENT_TYPES
from trio_supervisor.web.api.metrics import sample_name

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("configuration.md", markdown),
        ("tsupervisord.schema.json", schema),
        ("python-api.md", reference),
        ("tsupervisorctl.md", ctl_reference.markdown),
        ("metrics.md", metrics_reference.markdown),
        ("xml-rpc.md", xmlrpc_reference.markdown),
        ("upgrade-state.md", state_reference.description),
    ],
)
def test_the_file_is_what_its_source_makes(name: str, make: Callable[[], str]) -> None:
    compare(DOCS / name, make)


@pytest.mark.parametrize("name", man_pages.MAKERS)
def test_the_manual_page_is_what_its_source_makes_and_sound(name: str) -> None:
    path = DOCS / "man" / name
    compare(path, man_pages.MAKERS[name])
    command = [path_of("mandoc"), "-Tlint", "-Wwarning", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def compare(path: Path, make: Callable[[], str]) -> None:
    """Compare a file with what its source makes, or write it if that is asked for."""
    if os.environ.get("TRIO_SUPERVISOR_REGENERATE"):
        path.write_text(make(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == make()


def test_the_alert_rules_use_metrics_that_exist() -> None:
    families = (family for _, _, families in metrics_reference.CHAPTERS for family in families)
    names = {sample_name(family) for family in families}
    used = set(re.findall(r"\b(?:node_supervisord|trio_supervisor)_\w+", metrics_reference.ALERTS))
    assert used
    assert used <= names


async def test_the_api_reference_names_what_exists() -> None:
    assert not_on_the_page() == []
    async with open_supervisor() as supervisor:
        process = supervisor.add_program("x", "/bin/true", autostart=False)
        with process.output() as output, supervisor.output() as merged:
            async with supervisor.events() as events:
                [entry] = await supervisor.history(limit=1)
                received: dict[str, object] = {
                    type(thing).__name__: thing
                    for thing in (
                        *(supervisor, process, output, merged, events),
                        *(entry, entry.cause),
                    )
                }
                received["Group"] = supervisor.groups["x"]
                received["History"] = process.history
                for cls in EVENT_TYPES.values():  # what any kind of it has
                    kinds = [kind for kind in EVENT_TYPES.values() if issubclass(kind, cls)]
                    received[cls.__name__] = SimpleNamespace(
                        **{attribute: None for kind in kinds for attribute in dir(kind)}
                    )
                for name, members in RECEIVED.items():
                    assert [m for m in members if not hasattr(received[name], m)] == []


def test_every_option_has_a_type_and_a_sentence() -> None:
    for table in TABLES.values():
        for option in table:
            assert option.doc
            assert option.type.label


def test_the_page_says_what_a_change_takes_and_where_older_manuals_differ() -> None:
    page = markdown()
    for line in (
        "| `identifier` | text | `supervisor` | reread |",
        "| `loglevel` | log level | `info` | reload |",
        "| `minfds` | whole number | `1024` | new start |",
        "| `startsecs` | whole number | `1` | update |",
        "| `prompt` | text | `supervisor` | next command |",
        "* `exitcodes` of `[program:x]`: the default was 0,2 before 4.0.",
    ):
        assert f"\n{line}" in page
    assert set(EFFECTS) == set(RestartScope)


def matches(value: object, described: dict[str, Any]) -> bool:
    """Whether a value is one of the JSON types described (enough of JSON Schema for ours)."""
    names = described["type"] if isinstance(described["type"], list) else [described["type"]]
    kinds = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
    if kinds[type(value)] not in names:
        return False
    if isinstance(value, dict) and "properties" in described:
        return all(
            matches(v, described["properties"].get(k) or described["additionalProperties"])
            for k, v in value.items()
        )
    return True


def test_the_sketch_of_the_contract_satisfies_the_schema() -> None:
    described = json.loads(schema())
    data = tomllib.loads(SKETCH)
    assert matches(data, described)
    data["program"]["web"]["numprocs"] = [1]
    assert (
        matches(data["program"]["web"], described["properties"]["program"]["additionalProperties"])
        is False
    )


def test_the_sample_loads_and_means_what_it_must() -> None:
    config = load(sample(), base="")
    (server,) = config.servers
    assert server.url == "unix:///tmp/supervisor.sock"
    daemon = config.daemon
    assert (daemon.logfile, daemon.pidfile) == ("/tmp/supervisord.log", "/tmp/supervisord.pid")
    assert (daemon.minfds, daemon.minprocs, daemon.nodaemon, daemon.silent) == (
        1024,
        200,
        False,
        False,
    )
    assert [interface.name for interface in config.rpcinterfaces] == ["supervisor"]
    assert config.groups == ()
    active = [line for line in sample().splitlines() if line.startswith("[")]
    assert active == [
        "[unix_http_server]",
        "[supervisord]",
        "[rpcinterface:supervisor]",
        "[supervisorctl]",
    ]


@pytest.mark.behaviour("configuration.md#the-sample-configuration")
def test_every_option_stands_in_the_sample_and_becomes_active_without_its_mark() -> None:
    """Scripts remove the ``;``."""
    lines = sample().splitlines()
    for kind, table in TABLES.items():
        for option in table:
            assert any(line.lstrip(";").startswith(f"{option.name}=") for line in lines), (
                kind,
                option.name,
            )
    program = [line for line in lines if not line.startswith("; ")]
    start = next(n for n, line in enumerate(program) if line.startswith(";[program:"))
    end = next(n for n, line in enumerate(program) if line.startswith(";[fcgi-program:"))
    text = "\n".join(line.removeprefix(";") for line in program[start:end])
    text = text.replace("user=nobody", "user=root")
    config = load("[supervisord]\n" + text + "\n", base="")
    (process,) = config.groups[0].processes
    assert (process.name, process.stdout.logfile, process.startsecs) == ("theprogramname", AUTO, 1)
