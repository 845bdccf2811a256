"""Suggestions of the name that was probably meant."""

from __future__ import annotations

import pytest

from trio_supervisor.core.config.suggest import distance, suggestion

KNOWN = ("command", "autostart", "user", "umask", "stdout_logfile", "stdout_logfile_maxbytes")


@pytest.mark.parametrize(
    ("a", "b", "steps"),
    [("", "", 0), ("abc", "", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)],
)
def test_distance(a: str, b: str, steps: int) -> None:
    assert distance(a, b) == distance(b, a) == steps


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("comand", "command"),
        ("commnad", "command"),
        ("auto_start", "autostart"),
        ("AUTOSTART", "autostart"),
        ("stdout_log", "stdout_logfile"),
        ("autostarted", "autostart"),
        ("autostart_delay", None),
        ("uesr", "user"),
        ("xyz", None),
        ("us", None),
        ("", None),
    ],
)
def test_suggestions(word: str, meant: str | None) -> None:
    assert suggestion(word, KNOWN) == meant
