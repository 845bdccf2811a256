"""Every wire case and decision on XML-RPC and HTTP of interfaces.md stands in the name of a test.

``pytest tests/test_contract.py -s`` prints which test has which.
"""

from __future__ import annotations

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).parent
#: Section 7: W126 to W141 are listeners, whose tests are named after what they do.
WIRE_CASES = {*range(1, 126), *range(142, 172)}
#: Section 6: what concerns XML-RPC, HTTP, logs and pages. Q44 is in the header of events. Other
#: documents have decisions of the same numbers: only these tests are about ours.
DECISIONS = {*range(17, 44), *range(45, 51)}
DECIDED_IN = (
    *("web/*", "runtime/test_rpc*", "end_to_end/test_wire*"),
    *("core/test_xmlrpc.py", "test_childutils.py"),
)
_NUMBERS = re.compile(
    r"(?<![a-z0-9])w(?P<first>\d{1,3})(?:(?:_to_w|-w| to w)(?P<last>\d{1,3}))?(?!\d)"
    r"|(?<![a-z0-9])q(?P<decision>\d{1,2})(?!\d)",
    re.IGNORECASE,
)


def numbers() -> tuple[dict[int, set[str]], dict[int, set[str]]]:
    """Number -> files, of wire cases and of decisions."""
    cases: dict[int, set[str]] = defaultdict(set)
    decisions: dict[int, set[str]] = defaultdict(set)
    for path in HERE.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        for found in _NUMBERS.finditer(path.read_text(encoding="utf-8")):
            name = str(path.relative_to(HERE))
            if found["decision"]:
                if any(fnmatchcase(name, where) for where in DECIDED_IN):
                    decisions[int(found["decision"])].add(name)
            else:
                first = int(found["first"])
                for number in range(first, int(found["last"] or first) + 1):
                    cases[number].add(name)
    return cases, decisions


def test_every_number_has_a_test() -> None:
    cases, decisions = numbers()
    for letter, wanted, found in (("W", WIRE_CASES, cases), ("Q", DECISIONS, decisions)):
        for number in sorted(wanted):
            print(f"{letter}{number:<4} {', '.join(sorted(found[number]))}")
        assert [f"{letter}{number}" for number in sorted(wanted) if not found[number]] == []
