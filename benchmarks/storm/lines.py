"""Invariant of a storm: each line of each program is in its logs once, in order."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.storm.fleet import Fleet, Program
from benchmarks.storm.truth import Run, runs_of

_LINE = rb"<(?P<name>\w+) (?P<run>\d+) (?P<number>\d+) (?P<padding>x*)>"
#: Whole lines of the log by the log_format of the program.
_RECORDS = {
    "raw": re.compile(_LINE + rb"\n"),
    "prefix": re.compile(rb"[-0-9T:.]+Z \S+ stdout " + _LINE + rb"\n"),
    "json": re.compile(rb'\{"time":"[-0-9T:.]+Z",[^<>\n]*"line":"' + _LINE + rb'"\}\n'),
}
#: Where a line is cut that had no end for 2 seconds, for example because its program was suspended
#: while it wrote, with what joins the parts. A "<" begins the first line after a killed run.
_CUTS = {
    "prefix": (re.compile(rb"\+ ([^\n]*)\n[-0-9T:.]+Z \S+ stdout(\+?) (?!<)"), rb"\2 \1"),
    "json": (re.compile(rb'","part":true\}\n\{"time":"[^<>\n]*"line":"(?!<)'), b""),
}
#: What else is in the logs: output of hooks, the end of a line that was cut, reasons of failed
#: starts between fork and exec.
_OTHER = re.compile(rb"(?:before|after)\n|supervisor: [^\n]*\n")
#: Violations shown of one program.
_SHOWN = 5


def check_lines(fleet: Fleet) -> Iterator[str]:
    """Compare the logs of all programs with their records; yield what is wrong."""
    by_log: dict[Path, list[Program]] = {}
    for program in fleet.programs:
        by_log.setdefault(program.log, []).append(program)
    for log, programs in by_log.items():
        text = _joined(b"".join(_in_order(fleet, log, programs[0])), _format(programs[0]))
        found = _found(text, programs[0])
        for program in programs:
            runs = runs_of(fleet.directory, program.name)
            wrong = _compare(program, runs, found.pop(program.name, {}))
            yield from (f"{program.name}: {what}" for what in list(wrong)[:_SHOWN])
        if found:
            yield f"{log.name} has lines of {', '.join(found)}"
        yield from (f"{log.name}: {what}" for what in _strange(text, programs[0], fleet))


def count_lines(fleet: Fleet) -> int:
    """Return how many lines the programs have written."""
    return sum(run.written for name in fleet.names for run in runs_of(fleet.directory, name))


def _format(program: Program) -> str:
    match = re.search(r"^log_format = (\w+)", program.section, re.MULTILINE)
    return match[1] if match else "raw"


def _in_order(fleet: Fleet, log: Path, program: Program) -> list[bytes]:
    """The contents of the log, its backups, and what was moved away, in the order of writing."""
    pattern = _RECORDS[_format(program)]
    paths = [*log.parent.glob(f"{log.name}*"), *(fleet.directory / "moved").glob(f"{log.name}.*")]
    texts = []
    for path in paths:
        data = path.read_bytes()
        if path.name.endswith(".gz"):
            data = gzip.decompress(data)
        first = pattern.search(data)
        if first or data:
            # A file without a whole line can only be the newest.
            place = (int(first["run"]), int(first["number"])) if first else (1 << 60, 0)
            texts.append((place, path.name, data))
    if program.kind.rotation == "0":
        # Several programs share it, so lines tell no order; but it is only moved, never rotated.
        texts.sort(key=lambda text: (text[1] == log.name, text[1]))
    else:
        texts.sort(key=lambda text: text[:2])
    return [data for _, _, data in texts]


def _joined(text: bytes, log_format: str) -> bytes:
    """Join the lines that were written in parts."""
    if log_format not in _CUTS:
        return text
    pattern, joint = _CUTS[log_format]
    changes = 1
    while changes:
        text, changes = pattern.subn(joint, text)
    return text


def _found(text: bytes, program: Program) -> dict[str, dict[int, list[int]]]:
    """Numbers of the lines by program and run, in the order of the log."""
    found: dict[str, dict[int, list[int]]] = {}
    for match in _RECORDS[_format(program)].finditer(text):
        number = int(match["number"])
        if len(match["padding"]) != number * 7 % 61:
            number = -number  # damaged: neither expected nor found
        found.setdefault(match["name"].decode(), {}).setdefault(int(match["run"]), []).append(
            number
        )
    return found


def _compare(program: Program, runs: list[Run], found: dict[int, list[int]]) -> Iterator[str]:
    last = -1
    for number in found:
        if number < last:
            yield f"run {number} is in the log after run {last}"
        last = number
    for run in runs:
        numbers = found.pop(run.number, [])
        if run.errno:
            yield f"run {run.number} (pid {run.pid}) could not write: errno {run.errno}"
        if program.kind.exact:
            if numbers != list(range(1, len(numbers) + 1)):
                yield f"run {run.number}: {_difference(numbers)}"
            elif not run.written <= len(numbers) <= run.begun:
                yield (
                    f"run {run.number} (pid {run.pid}) has written {run.written} lines"
                    f" (begun {run.begun}), the log has {len(numbers)}"
                )
        elif numbers != sorted(set(numbers)) or (numbers and numbers[-1] > run.begun):
            yield f"run {run.number}: lines are doubled, damaged or out of order"
    yield from (f"run {number} has no record, but lines" for number in found)


def _difference(numbers: list[int]) -> str:
    for place, number in enumerate(numbers, 1):
        if number != place:
            return f"line {number} follows line {place - 1}"
    return "?"


def _strange(text: bytes, program: Program, fleet: Fleet) -> Iterator[str]:
    """Bytes that nobody has written; a child that was killed may leave one unfinished line."""
    if not program.kind.exact:
        return
    rest = _OTHER.sub(b"", _RECORDS[_format(program)].sub(b"", text)).replace(b"\n", b"")
    pieces = rest.count(b"<")
    runs = sum(
        len(runs_of(fleet.directory, other.name))
        for other in fleet.programs
        if other.log == program.log
    )
    if pieces > runs or len(rest) > 200 * (pieces + 1):
        yield f"bytes that belong to no line: {rest[:200]!r}"
