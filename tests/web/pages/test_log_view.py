"""The end of a log for a page, and a log to take home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.web.pages.log_view import (
    PAINTED,
    painted_end,
)

if TYPE_CHECKING:
    pass


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[31mone\n")
    return path


def append(log: Path, data: bytes) -> None:
    with log.open("ab") as file:
        file.write(data)


async def test_over_http(log: Path) -> None:
    fake = FakeSupervisor("cat", "grp:<b>")
    fake.process("cat").stdout.logfile = str(log)
    fake.process("cat").stderr.logfile = str(log.parent / "none")
    append(log, b"x" * 300_000)
    async with talking(fake) as client:
        for target in (
            "/log.txt",
            "/log.txt?processname=zz",
            "/log.txt?processname=grp:%3Cb%3E",
            "/log.txt?processname=cat&channel=stderr",
        ):
            assert (await client.get(target)).status == 404
    async with talking(fake) as client:
        await client.send(b"GET /log.txt?processname=cat HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, headers = await client.head()
        assert headers["content-disposition"] == 'attachment; filename="stdout.log"'
        received = b""
        while chunk := await client.chunk():
            append(log, b"what comes later is not in it")
            received += chunk
        assert received == b"\x1b[31mone\n" + b"x" * 300_000


def test_a_long_log_is_painted_in_pieces_that_fit(tmp_path: Path) -> None:
    """A character, a sequence and a style may reach over their ends."""
    log = tmp_path / "log"
    text = "é" * (PAINTED // 2 - 1) + "a" + "\x1b[1m" + "b" * PAINTED + "\x1b[0m<\n"
    log.write_text(text)
    painted = painted_end(str(log), 10 * PAINTED).decode()
    plain = painted.replace('<span class="a-bold">', "").replace("</span>", "")
    assert plain == "é" * (PAINTED // 2 - 1) + "a" + "b" * PAINTED + "&lt;\n"
    assert painted.count('<span class="a-bold">') in (1, 2)
    log.write_text("")
    assert painted_end(str(log), 10) == b""
