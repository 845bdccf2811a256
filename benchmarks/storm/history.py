"""Invariant of a storm: events and entries of the journal tell the same, and what happened."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.storm.fleet import Fleet
from benchmarks.storm.truth import runs_of

#: ``old -> new`` of one process.
Move = tuple[str, str, str]


@dataclass
class _Told:
    moves: Counter[Move] = field(default_factory=Counter)
    pids: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    folded: Counter[str] = field(default_factory=Counter)
    """Number of entries of a process that were dropped, because later ones repeat them."""


def check_history(fleet: Fleet) -> Iterator[str]:
    """Compare events, journal and the records of the programs; yield what is wrong."""
    events = _Told()
    yield from _read_events(fleet, events)
    journal = _read_journal(fleet)
    for move in events.moves.keys() | journal.moves.keys():
        if _is_listener(move[0]):
            continue
        told, recorded = events.moves[move], journal.moves[move]
        if told != recorded:
            name, old, new = move
            yield f"{name}: {old} -> {new}: {told} events, {recorded} entries of the journal"
    for name in fleet.names:
        ran = {run.pid for run in runs_of(fleet.directory, name)}
        unknown = ran - journal.pids[name] - events.pids[name]
        if len(unknown) > journal.folded[name]:
            yield f"{name}: the journal does not know the children {sorted(unknown)[:5]}"


def count_events(fleet: Fleet) -> int:
    """Return how many events the recorder has got."""
    with (fleet.directory / "events").open("rb") as file:
        return sum(1 for _ in file)


def _is_listener(name: str) -> bool:
    """The recorder misses its own first events, and those after its stop."""
    return name.startswith(("recorder", "troublemaker"))


def _full_name(group: str, process: str) -> str:
    return process if group == process else f"{group}:{process}"


def _read_events(fleet: Fleet, told: _Told) -> Iterator[str]:
    states: dict[str, str] = {}
    serial = -1
    for line in (fleet.directory / "events").read_text().splitlines():
        event = json.loads(line)
        header = event["header"]
        if int(header["poolserial"]) != serial + 1:
            yield f"event {header['poolserial']} of the pool follows event {serial}"
        serial = int(header["poolserial"])
        tokens = dict(token.split(":", 1) for token in event["payload"].split())
        if header["eventname"].startswith("PROCESS_GROUP"):
            states = {
                name: state
                for name, state in states.items()
                if name.partition(":")[0] != tokens["groupname"]
            }
            continue
        name = _full_name(tokens["groupname"], tokens["processname"])
        old, new = tokens["from_state"], header["eventname"].rpartition("_")[2]
        if _is_listener(name):
            continue
        if states.setdefault(name, "STOPPED") != old:
            yield f"{name}: an event tells {old} -> {new}, but it was {states[name]}"
        states[name] = new
        told.moves[name, old, new] += 1
        if "pid" in tokens:
            told.pids[name].add(int(tokens["pid"]))


def _read_journal(fleet: Fleet) -> _Told:
    told = _Told()
    with sqlite3.connect(f"file:{fleet.directory}/journal?mode=ro", uri=True) as journal:
        rows = journal.execute("SELECT process, what, old, new, count, evidence FROM entries")
        for name, what, old, new, count, evidence in rows:
            if what == "state":
                told.moves[name, old, new] += count
                told.folded[name] += count - 1
            pid = json.loads(evidence or "{}").get("pid")
            if pid:
                told.pids[name].add(pid)
    return told
