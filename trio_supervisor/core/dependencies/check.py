"""Errors and remarks about the dependencies of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.config.lint import remark_at
from trio_supervisor.core.dependencies.graph import DependencyProblem, full_name, make_graph
from trio_supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trio_supervisor.core.config.ini import Document
    from trio_supervisor.core.config.model import GroupConfig
    from trio_supervisor.core.dependencies.graph import Graph
    from trio_supervisor.core.diagnostics import Diagnostic
    from trio_supervisor.core.process.start import Key

OPTION = "depends_on"


def check_dependencies(groups: Iterable[GroupConfig]) -> None:
    """Raise ConfigError for the first problem of the dependencies between some groups."""
    for problem in make_graph(groups).problems:
        raise _error(problem)


def errors_of(document: Document, graph: Graph, *, is_complete: bool) -> Iterator[ConfigError]:
    """All errors, with their places.

    Of a document that has other errors, which is not ``is_complete``, unknown names are no errors:
    they may be those of programs that could not be read.
    """
    for problem in graph.problems:
        if is_complete or not problem.is_unknown_name:
            yield _error(problem, document)


def remarks_of(document: Document, graph: Graph) -> Iterator[Diagnostic]:
    """Priorities that say the opposite of an edge, which wins."""
    rank = {key: index for index, key in enumerate(graph.processes)}
    told: set[tuple[str | None, str | None]] = set()
    for key, process in graph.processes.items():
        section = document.sections.get(process.section or "")
        if section is None or OPTION not in section.entries:
            continue
        for target in graph.needed(key):
            other = graph.processes[target]
            if rank[target] > rank[key] and _has_priority(document, graph, key, target):
                if (process.section, other.section) in told:
                    continue
                told.add((process.section, other.section))
                text = (
                    f"by priority {full_name(key)} would start before {full_name(target)}, "
                    "which it depends on: the dependency decides"
                )
                yield remark_at(section, OPTION, text, "leave the priorities out, or swap them")


def _has_priority(document: Document, graph: Graph, *keys: Key) -> bool:
    """Whether a priority is written for one of these processes, or for its group."""
    for group, name in keys:
        section = document.sections.get(graph.processes[group, name].section or "")
        whole = document.sections.get(f"group:{group}")
        for each in (section, whole):
            if each is not None and document.entry(each, "priority") is not None:
                return True
    return False


def _error(problem: DependencyProblem, document: Document | None = None) -> ConfigError:
    process = problem.process
    section = None if document is None else document.sections.get(process.section or "")
    if document is None or section is None:
        text = f"{process.name}: {problem.text}"
        return ConfigError(text, section=process.section, option=OPTION, hint=problem.hint)
    entry = document.entry(section, OPTION)
    return ConfigError(
        problem.text,
        section=process.section,
        option=OPTION,
        file=section.file if entry is None else entry.file,
        line=None if entry is None else entry.line or None,
        hint=problem.hint,
    )
