"""The journal as clients see it, shared by XML-RPC and the JSON API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.core.journal.entry import What
from trio_supervisor.core.journal.words import sentence
from trio_supervisor.core.process.cause import CauseKind

if TYPE_CHECKING:
    from trio_supervisor.core.journal.chain import Why
    from trio_supervisor.core.journal.entry import JournalEntry
    from trio_supervisor.core.xmlrpc import Value


#: Values of the filter by kind.
KINDS = tuple(dict.fromkeys(each.value for kinds in (What, CauseKind) for each in kinds))
#: Most entries of one answer.
MOST_ENTRIES = 10_000


def shown_entry(entry: JournalEntry) -> dict[str, Value]:
    """Return an entry as plain values.

    ``time`` and ``first`` are wall-clock seconds, ``cause`` is the number of the causing entry or
    0, ``text`` the entry in words.
    """
    return {
        "number": entry.number,
        "time": entry.time,
        "monotonic": entry.monotonic,
        "boot": entry.boot,
        "process": entry.process,
        "what": entry.what.value,
        "from": entry.old,
        "to": entry.new,
        "kind": entry.cause.kind.value,
        "cause": entry.cause.entry,
        "who": entry.cause.who,
        "evidence": {**entry.evidence},
        "count": entry.count,
        "first": entry.first,
        "text": sentence(entry),
    }


def shown_why(why: Why) -> dict[str, Value]:
    """Return the explanation of a state as plain values; the chain begins with the last entry."""
    return {
        "process": why.process,
        "statename": why.state.name,
        "root": why.root,
        "next": why.next,
        "chain": [shown_entry(entry) for entry in why.chain],
    }


def without_requesters(value: Value) -> Value:
    """Return the same without requesters, for users who may look and change nothing."""
    if isinstance(value, list):
        return [without_requesters(each) for each in value]
    if isinstance(value, dict):
        return {
            name: "" if name == "who" else without_requesters(each) for name, each in value.items()
        }
    return value
