"""Names of processes and groups on the command line, and the order of results."""

from __future__ import annotations

from trio_supervisor.cli.ctl.session import GENERIC

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

ALL = "all"
#: Characters that make a word a pattern, unless a process has exactly that name.
WILDCARDS = frozenset("*?[")


def short_name(row: dict[str, Any]) -> str:
    """Return ``cat`` for the process cat of the group cat, else ``group:name``."""
    group, name = row["group"], row["name"]
    return name if group == name else f"{group}:{name}"


def split_name(written: str) -> tuple[str, str | None]:
    """Split a name into group and process; None means all, for ``group:*`` and ``group:``."""
    group, colon, name = written.partition(":")
    if not colon:
        return written, written
    return group, None if name in ("", "*") else name


def chosen(rows: list[dict[str, Any]], written: str) -> list[dict[str, Any]]:
    """Return the processes with a name; if there are none, those that match it as a pattern."""
    group, process = split_name(written)
    found = [
        row for row in rows if row["group"] == group and (process is None or row["name"] == process)
    ]
    return found or (fitting(rows, written) if is_pattern(written) else [])


def is_pattern(written: str) -> bool:
    """Whether a word has wildcards; the ``*`` of ``group:*`` is none."""
    return not WILDCARDS.isdisjoint(written.removesuffix(":*"))


def fitting(rows: list[dict[str, Any]], pattern: str) -> list[dict[str, Any]]:
    """Return the processes whose short name or ``group:name`` matches a shell pattern."""
    # Imported here because patterns are rare, and re is slow to import.
    from fnmatch import fnmatchcase

    return [
        row
        for row in rows
        if fnmatchcase(short_name(row), pattern)
        or fnmatchcase(f"{row['group']}:{row['name']}", pattern)
    ]


def expanded(session: Session, words: list[str]) -> list[str]:
    """Replace each pattern by the names of the processes that match it.

    A pattern that matches nothing is kept, and then reported as an unknown name.
    """
    if not any(map(is_pattern, words)):
        return words
    rows = session.call("getAllProcessInfo")
    names: list[str] = []
    for word in words:
        found = chosen(rows, word) if is_pattern(word) else []
        names += [short_name(row) for row in found] or [word]
    return names


def expanded_groups(session: Session, words: list[str], method: str) -> list[str]:
    """Replace patterns by names of groups; ``method`` lists the processes of all groups."""
    if not any(map(is_pattern, words)):
        return words
    return fitting_groups(words, {row["group"] for row in session.call(method)})


def fitting_groups(words: list[str], groups: set[str]) -> list[str]:
    """Replace each pattern that is not itself a group by the groups that match it."""
    if not any(map(is_pattern, words)):
        return words
    # Imported here because patterns are rare, and re is slow to import.
    from fnmatch import fnmatchcase

    names: list[str] = []
    for word in words:
        patterned = is_pattern(word) and word not in groups
        fits = sorted(g for g in groups if fnmatchcase(g, word)) if patterned else []
        names += fits or [word]
    return names


def matching(session: Session, words: list[str]) -> list[dict[str, Any]]:
    """Fetch the rows of the named processes; unknown names are reported as failures."""
    rows: list[dict[str, Any]] = session.call("getAllProcessInfo")
    return rows if ALL in words else chosen_or_told(session, rows, words)


def chosen_or_told(
    session: Session, rows: list[dict[str, Any]], words: list[str], status: int = GENERIC
) -> list[dict[str, Any]]:
    """Return the rows for the words, in their order, with repetitions; report unknown names."""
    found: list[dict[str, Any]] = []
    for written in words:
        these = chosen(rows, written)
        found += these
        if not these:
            group, process = split_name(written)
            who, what = (group, "group") if process is None else (written, "process")
            session.fail(f"{who}: ERROR (no such {what})", status)
            hint_at_name(session, written)
    return found


def hint_at_name(session: Session, written: str) -> None:
    """Remember to suggest what an unknown name may have been meant for."""
    session.hints.append(lambda hints: hints.of_name(written))


def in_priority_order(session: Session, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort results of ``all`` and ``group:*`` by group priority, process priority and name.

    The daemon answers in the order in which the calls finished, so the order, and the exit status
    of a mixed failure, would differ from run to run. The priorities take another call, made only
    if there is something to sort. If it fails, and for processes that are no longer configured,
    the daemon's order is kept.
    """
    if len(results) < 2:
        return results
    try:
        configured = session.call("getAllConfigInfo")
        rank = {
            (row["group"], row["name"]): (row["group_prio"], row["process_prio"], short_name(row))
            for row in configured
        }
    except Exception:  # the work is done: show its results in any case
        return results
    last = (float("inf"),)
    return sorted(results, key=lambda row: rank.get((row["group"], row["name"]), last))
