"""Rules of docs/behaviour and tests refer to each other, and nothing refers to other documents.

``pytest tests/test_contract.py -s`` prints which tests each rule has.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.test_ctl_transcripts import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
PACKAGE = ROOT / "trio_supervisor"
BEHAVIOUR = ROOT / "docs" / "behaviour"
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
#: Numbers of rules, and names of documents, that a reader of the repository does not have.
NUMBER = re.compile(
    r"(?<![A-Za-z0-9%\\])[PQWTSDKEG]-?[0-9]{2,3}(?![A-Za-z0-9])"
    r"|\b(?:config|interfaces|ctl|needs)\.md\b"
)
NUMBER_IN_NAME = re.compile(r"(?:^|_)[pqwtsdkeg][0-9]{2,3}(?:_|$)", re.IGNORECASE)
#: Codes of the linter, in comments that silence it.
LINTER = re.compile(r"noqa: [A-Z0-9, ]+")


def anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> list[str]:
    return [anchor(text) for _, text in HEADING.findall(page.read_text(encoding="utf-8"))]


def rules() -> list[str]:
    """``page.md#anchor`` of every rule."""
    found = []
    for page in sorted(BEHAVIOUR.glob("*.md")):
        for level, text in HEADING.findall(page.read_text(encoding="utf-8")):
            if level == "###":
                found.append(f"{page.name}#{anchor(text)}")
    return found


def references() -> dict[str, list[str]]:
    """Rule -> the tests that name it, as ``file::test``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        name = str(path.relative_to(TESTS))
        for rule, test in _markers(ast.parse(path.read_text(encoding="utf-8"))):
            found[rule].append(f"{name}::{test}")
    for step in STEPS:
        found[f"client.md#{step.rule}"].append(f"end_to_end/ctl_transcripts.txt::{step.command}")
    return found


def _markers(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Rules named by ``pytest.mark.behaviour``, each with the test or ``pytestmark``."""
    for node in tree.body:
        for call in ast.walk(node):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr == "behaviour"
            ):
                for argument in call.args:
                    if isinstance(argument, ast.Constant):
                        yield str(argument.value), getattr(node, "name", "pytestmark")


def test_every_rule_has_a_test() -> None:
    found = references()
    for rule in rules():
        print(rule, *found.get(rule, []), sep="\n    ")
    assert [rule for rule in rules() if rule not in found] == []


def test_every_reference_has_a_rule() -> None:
    known = set(rules())
    unknown = {rule: tests for rule, tests in references().items() if rule not in known}
    assert unknown == {}


def test_anchors_are_unique() -> None:
    for page in BEHAVIOUR.glob("*.md"):
        assert len(set(anchors(page))) == len(anchors(page)), page.name


@pytest.mark.parametrize("page", sorted(page.name for page in BEHAVIOUR.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    for path, fragment in LINK.findall((BEHAVIOUR / page).read_text(encoding="utf-8")):
        target = BEHAVIOUR / path if path else BEHAVIOUR / page
        assert target.exists(), path
        assert not fragment or fragment in anchors(target), f"{path}#{fragment}"


def _numbers_in_python(path: Path) -> Iterator[str]:
    """Numbers in comments and docstrings, and names that hold one."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield from NUMBER.findall(LINTER.sub("", token.string))
        elif token.type == tokenize.NAME and NUMBER_IN_NAME.search(token.string):
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from NUMBER.findall(ast.get_docstring(node) or "")


def _places() -> list[Path]:
    code = [path for folder in (TESTS, PACKAGE) for path in folder.rglob("*.py")]
    return [*code, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]


def test_no_number_of_a_rule_is_left() -> None:
    """A reader would look in vain for what it means: the reason, or a link, takes its place."""
    left = {}
    for path in _places():
        if path.suffix == ".py":
            numbers = list(_numbers_in_python(path))
        else:
            numbers = NUMBER.findall(path.read_text(encoding="utf-8"))
        if numbers:
            left[str(path.relative_to(ROOT))] = numbers
    assert left == {}
