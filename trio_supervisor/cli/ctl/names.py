"""How processes and groups are written (ctl.md 2), and in which order results are shown."""

from __future__ import annotations

from trio_supervisor.cli.ctl.session import GENERIC

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl.session import Session

ALL = "all"
#: What makes a word a pattern, where no process has that very name.
WILDCARDS = frozenset("*?[")


def short_name(row: dict[str, Any]) -> str:
    """``cat`` for the only process of group cat, else ``group:name``."""
    group, name = row["group"], row["name"]
    return name if group == name else f"{group}:{name}"


def split_name(written: str) -> tuple[str, str | None]:
    """Group and process; the process is None for ``group:*`` and ``group:``."""
    group, colon, name = written.partition(":")
    if not colon:
        return written, written
    return group, None if name in ("", "*") else name


def chosen(rows: list[dict[str, Any]], written: str) -> list[dict[str, Any]]:
    """The processes that a word means; where it means none, those it fits as a pattern."""
    group, process = split_name(written)
    found = [
        row for row in rows if row["group"] == group and (process is None or row["name"] == process)
    ]
    return found or (fitting(rows, written) if is_pattern(written) else [])


def is_pattern(written: str) -> bool:
    """Whether there is more in it than the ``*`` of ``group:*``, which is no pattern."""
    return not WILDCARDS.isdisjoint(written.removesuffix(":*"))


def fitting(rows: list[dict[str, Any]], pattern: str) -> list[dict[str, Any]]:
    """The processes whose short name or ``group:name`` a pattern of the shell fits."""
    # Imported here because patterns are rare, and re is slow to import (technique 8).
    from fnmatch import fnmatchcase

    return [
        row
        for row in rows
        if fnmatchcase(short_name(row), pattern)
        or fnmatchcase(f"{row['group']}:{row['name']}", pattern)
    ]


def expanded(session: Session, words: list[str]) -> list[str]:
    """The words, each pattern that is no name replaced by the processes it fits.

    A pattern that fits nothing stays: what is said of it is what is said of an unknown name.
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
    """The same for names of groups; ``method`` lists the processes of those there are."""
    if not any(map(is_pattern, words)):
        return words
    return fitting_groups(words, {row["group"] for row in session.call(method)})


def fitting_groups(words: list[str], groups: set[str]) -> list[str]:
    """The words, each pattern that is no name replaced by the groups it fits."""
    if not any(map(is_pattern, words)):
        return words
    # Imported here because patterns are rare, and re is slow to import (technique 8).
    from fnmatch import fnmatchcase

    names: list[str] = []
    for word in words:
        patterned = is_pattern(word) and word not in groups
        fits = sorted(g for g in groups if fnmatchcase(g, word)) if patterned else []
        names += fits or [word]
    return names


def matching(session: Session, words: list[str]) -> list[dict[str, Any]]:
    """The rows of the processes asked for; unknown names are reported as failures."""
    rows: list[dict[str, Any]] = session.call("getAllProcessInfo")
    return rows if ALL in words else chosen_or_told(session, rows, words)


def chosen_or_told(
    session: Session, rows: list[dict[str, Any]], words: list[str], status: int = GENERIC
) -> list[dict[str, Any]]:
    """The rows asked for, in the order and as often as asked; unknown names are reported."""
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
    """Results of ``all`` and ``group:*`` by group priority, process priority, name (ctl.md 4.4).

    The daemon answers in the order in which the processes got done, so the order (and with it
    the exit status of a mixed failure) would differ from run to run (D-30). The priorities come
    from one more call, and only when there is something to sort. A daemon that cannot answer it,
    and processes that are no longer configured, keep the daemon's order.
    """
    if len(results) < 2:
        return results
    try:
        configured = session.call("getAllConfigInfo")
        rank = {
            (row["group"], row["name"]): (row["group_prio"], row["process_prio"], short_name(row))
            for row in configured
        }
    except Exception:  # the work is done, its results must be shown whatever this answer was
        return results
    last = (float("inf"),)
    return sorted(results, key=lambda row: rank.get((row["group"], row["name"]), last))
