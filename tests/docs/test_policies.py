"""The examples of docs/policies.md are configurations without a mistake or a remark."""

from __future__ import annotations

import pytest

from tests.kit.config import load
from tests.kit.docs import blocks

EXAMPLES = blocks("policies.md", "ini")


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_right(text: str) -> None:
    config = load(text, base="")
    remarks = [message.text for message in config.messages if "AUTO" not in message.text]
    assert remarks == []
    assert config.groups
