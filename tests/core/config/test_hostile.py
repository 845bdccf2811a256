"""Hostile configurations end in an ordinary error, in bounded time and memory (issue: fuzz)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.config import BASE, HERE, eval_context
from trio_supervisor.cli.convert import toml_text
from trio_supervisor.core.config.build import examine
from trio_supervisor.core.config.ini import Document, read
from trio_supervisor.core.config.options import TABLES
from trio_supervisor.core.config.toml import read_toml
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime.load import load_config

_PIECES = [
    *(option.name for table in TABLES.values() for option in table),
    *(f"[{kind}:x]\n" for kind in TABLES),
    *(
        "=",
        ":",
        "\n",
        "\n ",
        " ;",
        " #",
        "%",
        "%%",
        "%(",
        ")s",
        "%(here)s",
        "%(process_num)02d",
        "$",
    ),
    *(
        "[",
        "]",
        '"',
        "'",
        ",",
        "\\",
        "\0",
        "\ufeff",
        "\x85",
        "é",
        "-1",
        "0",
        "9" * 30,
        "true",
        "KB",
    ),
]


def survive(text: str, *, toml: bool = False) -> None:
    document = Document()
    (read_toml if toml else read)(text, file="c.conf", here=HERE, into=document)
    examined = examine(document, eval_context(), overrides={}, here=HERE)
    assert examined.config is not None or examined.errors
    for told in (*examined.errors, *examined.remarks):
        assert 0 < len(str(told)) < 1_000_000
    if not toml:
        converted, _ = toml_text(document, HERE, extended=False)
        again = Document()
        read_toml(converted, file="c.toml", here=HERE, into=again)
        assert again.errors == []


@given(text=st.text(max_size=400))
def test_any_text(text: str) -> None:
    survive(text)
    survive(text, toml=True)


@given(pieces=st.lists(st.sampled_from(_PIECES), max_size=40))
def test_pieces_of_configurations(pieces: list[str]) -> None:
    survive(BASE + "".join(pieces))
    survive(BASE + "[program:x]\ncommand=a\n" + "".join(pieces))


@given(data=st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "c.conf"
    path.write_bytes(b"[supervisord]\n" + data)
    with contextlib.suppress(ConfigError):
        assert load_config(str(path)).path == str(path)


@pytest.mark.parametrize(
    "text",
    [
        "[program:x]\ncommand=" + "a" * 10_000_000 + "\n",
        "[program:x]\ncommand=a\n" + " b\n" * 200_000,
        "x" * 10_000_000,
        "[" * 100_000 + "]" * 100_000 + "\ncommand=a\n",
        "[program:x]\ncommand=" + "%(" * 100_000 + ")s" * 100_000 + "\n",
        "[program:x]\ncommand=a\nenvironment=" + ",".join(f"A{n}=1" for n in range(20_000)) + "\n",
        "[program:x]\ncommand=a" + " ;#" * 100_000 + "\n",
        "[program:x]\ncommand=a\nenvironment=" + '"' * 100_001 + "\n",
        "[group:g]\nprograms=" + "," * 100_000 + "\n",
        "\0" * 100_000,
    ],
    ids=["line", "lines", "no header", "brackets", "parens", "environment", "marks", "quotes",
         "commas", "NULs"],
)  # fmt: skip
def test_large_things(text: str) -> None:
    survive(BASE + text)


def test_deep_globs(tmp_path: Path) -> None:
    path = tmp_path / "c.conf"
    path.write_text("[supervisord]\n[include]\nfiles=" + "*/" * 500 + "*.conf " * 500 + "\n")
    assert load_config(str(path)).groups == ()
