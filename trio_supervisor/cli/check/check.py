"""``tsupervisord --check``: reports all errors and warnings of a configuration at once.

It starts, binds and creates nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from trio_supervisor.cli.check.diagnostics import ERROR, Sources, as_json, level, placed, rendered
from trio_supervisor.cli.check.host_checks import probe
from trio_supervisor.core.dependencies.graph import full_name, make_graph, start_order
from trio_supervisor.core.diagnostics import Diagnostic, Severity
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.escape import escaped
from trio_supervisor.runtime.load import examine_config, find_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.core.config.model import Config

EXIT_FOUND = 2
#: Hints for messages of the log that have none, by section.
_HINTS = {"include": "correct files=, or ignore this if the files come later"}


def check(
    configuration: str | None,
    overrides: Mapping[str, str],
    form: str,
    program: str,
    *,
    verbose: bool = False,
) -> int:
    """Print the findings in ``form`` (text or json); returns the exit code.

    ``verbose``: also the order of starting, if the configuration has no error.
    """
    path = configuration
    sources = Sources()
    order: list[dict[str, object]] = []
    try:
        path = find_config(program, os.getcwd()) if path is None else path
        findings, config = examined_file(path, overrides, sources)
        if verbose and config is not None:
            order = starts(config)
    except ConfigError as error:  # there is no file to check
        findings = [error.diagnostic]
    errors = sum(level(finding) == ERROR for finding in findings)
    warnings = len(findings) - errors
    if form == "json":
        report = {
            "file": path,
            "errors": errors,
            "warnings": warnings,
            "findings": [as_json(finding) for finding in findings],
        }
        if verbose:
            report["order"] = order
        print(json.dumps(report, indent=2))
    else:
        for finding in findings:
            print(escaped(rendered(finding, sources)))
        if order:
            print("order of starting:")
        for number, start in enumerate(order, 1):
            needs = start["after"]
            after = f"  after {', '.join(needs)}" if isinstance(needs, list) and needs else ""
            print(escaped(f"{number:>5}  {start['name']}{after}"))
        print(f"{path or 'no file'}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return EXIT_FOUND if errors else 0


def starts(config: Config) -> list[dict[str, object]]:
    """The processes in the order in which they start, each with what it waits for."""
    graph = make_graph(config.groups)
    return [
        {
            "name": full_name(key),
            "autostart": graph.processes[key].autostart,
            "after": [str(need) for need in graph.needs(key)],
        }
        for key in start_order(graph)
    ]


def examined_file(
    path: str, overrides: Mapping[str, str], sources: Sources
) -> tuple[list[Diagnostic], Config | None]:
    """Errors, remarks, warnings of the log, and what the machine itself reveals.

    And the configuration, None if it has errors. Raises ConfigError if there is no file to be read.
    """
    examined, messages = examine_config(path, overrides=overrides)
    found = [
        *(error.diagnostic for error in examined.errors),
        *examined.remarks,
        *_of_messages((*messages, *examined.partial.messages)),
    ]
    # A default stands in for a wrong option: checking that against the machine means nothing.
    wrong = {(f.place.section, f.place.option) for f in found if level(f) == ERROR}
    whole = {section for section, option in wrong if option is None}
    looked = [
        finding
        for finding in probe(examined.document, examined.partial)
        if (finding.place.section, finding.place.option) not in wrong
        and finding.place.section not in whole
    ]
    every = [placed(finding, examined.document, sources) for finding in (*found, *looked)]
    return every, examined.config


def _of_messages(messages: tuple[Diagnostic, ...]) -> Iterator[Diagnostic]:
    for message in messages:
        if message.severity >= Severity.WARN:
            hint = _HINTS.get(message.place.section or "")
            yield replace(message, severity=Severity.WARN, hint=hint)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
