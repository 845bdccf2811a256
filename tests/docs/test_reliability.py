"""The tests that the page about reliability names exist, and each row names some."""

from __future__ import annotations

import re

from tests.kit.docs import DOCS

PAGE = (DOCS / "reliability.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!class |report |---)(.*) \|$", PAGE, re.MULTILINE)
_TEST = re.compile(r"`(\w+(?:/\w+)*\.py)(?:::(\w+))?`")


def test_every_row_names_tests_that_exist() -> None:
    assert len(ROWS) >= 28
    for row in ROWS:
        named = _TEST.findall(row)
        assert len(named) == len(row.rpartition("| ")[2].split("<br>")), row
        for file, name in named:
            text = (DOCS.parent / "tests" / file).read_text(encoding="utf-8")
            assert f"def {name}(" in text if name else re.search("def test_|TestCase", text)
