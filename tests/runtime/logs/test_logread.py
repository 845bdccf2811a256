"""Reading logs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.core.errors import BadArguments, Failed, NoFile
from trio_supervisor.runtime.logs import logread
from trio_supervisor.runtime.logs.logread import read_log, tail_log

ALL = "0123456789abcdefghij"


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "x.log"
    path.write_text(ALL)
    return str(path)


@pytest.mark.behaviour("http.md#reading-logs")
@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 0, ALL),
        (0, 5, "01234"),
        (5, 0, "56789abcdefghij"),
        (18, 10, "ij"),
        (20, 0, ""),
        (30, 5, ""),
        (-4, 0, "ghij"),
        (-100, 0, ALL),
    ],
)
def test_reading_by_offset_and_length(log: str, offset: int, length: int, expected: str) -> None:
    assert read_log(log, offset, length) == expected


@pytest.mark.behaviour("http.md#reading-logs")
@pytest.mark.parametrize(("offset", "length"), [(-4, 2), (-4, -2), (0, -1)])
def test_read_bad_arguments(log: str, offset: int, length: int) -> None:
    with pytest.raises(BadArguments):
        read_log(log, offset, length)


@pytest.mark.behaviour("http.md#tailing-logs")
@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 0, ("", 20, True)),
        (0, 5, ("fghij", 20, True)),
        (0, 20, (ALL, 20, False)),
        (0, 100, (ALL, 20, False)),
        (5, 16, ("456789abcdefghij", 20, False)),
        (19, 5, ("fghij", 20, False)),
        (20, 5, ("", 20, False)),
        (-4, 5, ("fghij", 20, True)),
        (-100, 200, (ALL, 20, False)),
        (0, -5, ("", 20, True)),
        (30, -15, ("", 20, True)),
    ],
)
def test_tail(log: str, offset: int, length: int, expected: tuple[str, int, bool]) -> None:
    assert tail_log(log, offset, length) == expected


@pytest.mark.behaviour("http.md#reading-logs")
def test_reading_a_missing_file(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    assert tail_log(path, 3, 5) == ("", 0, False)
    with pytest.raises(NoFile) as caught:
        read_log(path, 0, 0)
    assert str(caught.value) == f"NO_FILE: {path}"


@pytest.mark.behaviour("http.md#reading-logs")
def test_reading_what_is_no_regular_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (str(fifo), str(tmp_path), os.devnull):
        assert tail_log(path, 7, 5) == ("", 7, False)
        with pytest.raises(Failed):
            read_log(path, 0, 0)


@pytest.mark.behaviour("http.md#text-that-xml-cannot-carry")
def test_undecodable_bytes_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"abc\xff\xfedef" + "é".encode())
    assert read_log(str(path), 0, 0) == "abc\ufffd\ufffddefé"
    assert read_log(str(path), -1, 0) == "\ufffd"
    assert tail_log(str(path), 0, 1)[0] == "\ufffd"


@pytest.mark.behaviour("http.md#text-that-xml-cannot-carry")
def test_control_characters_and_carriage_returns_stay(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"\x1b[31m\x00a\r\nb")
    assert read_log(str(path), 0, 0) == "\x1b[31m\x00a\r\nb"


@pytest.mark.behaviour("http.md#integers-beyond-32-bits")
def test_tailing_a_huge_file(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.touch()
    os.truncate(path, 3 << 30)  # sparse
    assert tail_log(str(path), 0, 10) == ("\0" * 10, 3 << 30, True)


def test_the_last_part_of_a_long_answer_is_kept(log: str) -> None:
    assert read_log(log, 0, 0, 4) == "ghij"
    assert read_log(log, 0, 10, 4) == "6789"
    assert tail_log(log, 0, 10, 4) == ("ghij", 20, True)


@given(
    st.lists(st.sampled_from([b"", b"a", b"\r", b"x" * 9, "é".encode()]), max_size=12),
    st.booleans(),
    st.integers(0, 14),
)
def test_last_lines(texts: list[bytes], ended: bool, wanted: int) -> None:
    """Whatever the size of the piece that is looked at first."""
    content = b"\n".join(texts) + (b"\n" if ended else b"")
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]  # what follows the last newline, mostly nothing
    expected = b"".join([line for line in lines if line][-wanted:] if wanted else [])
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        for guess in (1, 3, 1000):
            with mock.patch.object(logread, "LINES_GUESS", guess):
                assert logread.last_lines(file.name, wanted).data == expected


def test_no_more_lines_than_an_answer_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logread, "ANSWER_LIMIT", 10)
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100 + b"\n12345\n789")
    assert logread.last_lines(str(path), 2).data == b"12345\n789"
    assert logread.last_lines(str(path), 3).data == b"\n12345\n789"
    assert logread.last_bytes(str(path), 3).data == b"789"
    assert logread.last_bytes(str(path), 1000).data == path.read_bytes()


def test_what_has_no_end(tmp_path: Path) -> None:
    with pytest.raises(NoFile):
        logread.last_bytes(str(tmp_path / "none"), 1)
    with pytest.raises(Failed, match="cannot read /dev/null: it is not a regular file"):
        logread.last_lines("/dev/null", 1)
