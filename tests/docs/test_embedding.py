"""The examples of the pages about the library print what these show, and pass a type checker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.machine import path_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "embedding.md"
TOPICS = ROOT / "docs" / "library.md"
TESTING = ROOT / "docs" / "testing.md"
#: A heading, or an example with what it prints.
_PART = re.compile(
    r"^## ([^\n]*)$|^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL
)


def examples(page: Path) -> Iterator[tuple[str, str, str]]:
    """The examples of a page: heading, source and output."""
    heading = page.stem
    for found in _PART.finditer(page.read_text()):
        heading = found[1] or heading
        if found[2] is not None:
            yield heading, found[2], found[3] or ""


EXAMPLES = [example for page in (PAGE, TOPICS) for example in examples(page)]


@pytest.fixture
def redis() -> None:
    """Skip the test if the database server of the last example is missing; CI installs it."""
    path_of("redis-server")


#: The plugin is named, because the installation that runs this may be older than its entry point.
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "trio_supervisor.pytest_plugin"]


def run(arguments: list[str], directory: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/bin:/usr/bin",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 12


@pytest.mark.parametrize(
    ("source", "output"), [pytest.param(*example[1:], id=example[0]) for example in EXAMPLES]
)
def test_example(request: pytest.FixtureRequest, tmp_path: Path, source: str, output: str) -> None:
    if source.startswith("# test_"):
        request.getfixturevalue("redis")
        (tmp_path / "test_database.py").write_text(source)
        assert "2 passed" in run(PYTEST, tmp_path)
    else:
        (tmp_path / "example.py").write_text(source)
        assert run(["example.py"], tmp_path) == output


def test_the_page_about_tests(tmp_path: Path) -> None:
    ((_, source, _),) = examples(TESTING)
    (tmp_path / "test_counter.py").write_text(source)
    assert "3 passed" in run(PYTEST, tmp_path)
    run([*MYPY, "test_counter.py"], tmp_path)


#: trio-asyncio has no types.
UNTYPED = "--disable-error-code=import-untyped"
MYPY = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.mypy_cache'}"]


def test_examples_are_typed(tmp_path: Path) -> None:
    """Check the examples with ``mypy --strict``, as users do: only the public API is visible."""
    for number, (_, source, _) in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(source)
    run([*MYPY, UNTYPED, *(path.name for path in tmp_path.glob("*.py"))], tmp_path)


def test_a_misspelt_name_is_a_type_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("from trio_supervisor import open_superviser\n")
    assert '"open_superviser"' in run([*MYPY, "wrong.py"], tmp_path, code=1)


def test_a_wrong_option_is_a_type_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from trio_supervisor import Supervisor\n\n\n"
        "def f(supervisor: Supervisor) -> None:\n"
        "    supervisor.add_program('x', '/bin/true', startsecs='1')\n"
        "    supervisor.add_task('y', f, autorestart=False)\n"
        "    supervisor.add_program('z', '/bin/true', nosuch=1)\n"
    )
    said = run([*MYPY, "wrong.py"], tmp_path, code=1)
    assert [line.split(":")[1] for line in said.splitlines() if ": error:" in line] == list("567")
