"""Server-sent events: what goes in comes out of a reader that follows the standard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.web.sse import KEEP_ALIVE, message


def read(stream: bytes) -> list[dict[str, str]]:
    """The messages of a stream, by the rules of WHATWG HTML 9.2.6."""
    messages: list[dict[str, str]] = []
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for block in text.split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in filter(None, block.split("\n")):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        fields.pop("", None)
        if "data" in fields:
            messages.append({name: "\n".join(values) for name, values in fields.items()})
    return messages


def test_the_bytes() -> None:
    assert message("a\nb", event="X", id="7") == b"id: 7\nevent: X\ndata: a\ndata: b\n\n"
    assert message("") == b"data: \n\n"
    assert read(KEEP_ALIVE) == []


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_no_data_can_pose_as_another_field(end: str) -> None:
    stream = message(f"x{end}event: y{end}{end}data: z", event=f"a{end}data: b", id=f"1{end}id: 2")
    assert read(stream) == [
        {"id": "1 id: 2", "event": "a data: b", "data": "x\nevent: y\n\ndata: z"}
    ]


@given(st.lists(st.text(), min_size=1))
def test_every_text_arrives(texts: list[str]) -> None:
    stream = KEEP_ALIVE.join(message(text, event="e") for text in texts)
    arrived = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert [found["data"] for found in read(stream)] == arrived
