"""How processes and groups are written (ctl.md 2), and in which order results are shown."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from typing import Any

    from trio_supervisor.cli.ctl_session import Session

ALL = "all"


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
