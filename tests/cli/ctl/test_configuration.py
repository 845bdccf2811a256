"""Errors of the client's configuration, and addresses, as the running client shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.ctl import install, run

SECTION = "[supervisorctl]\n"


@pytest.mark.behaviour(
    "client.md#configuration-of-the-client",
    "client.md#errors-of-the-clients-configuration",
    "configuration.md#errors-of-expansions",
    "configuration.md#parsing-of-the-command-line",
    "configuration.md#search-for-the-configuration-file",
    "client.md#addresses-of-the-daemon",
    "configuration.md#the-activity-log-file",
    "client.md#history_file",
)
@pytest.mark.parametrize(
    ("text", "arguments", "status", "said"),
    [
        ("[supervisord]\n", [], 2, "does not include supervisorctl section"),
        (f"{SECTION}password=a%b\n", [], 2, "badly formatted"),
        (SECTION, ["-s", "foo"], 2, "foo"),
        (SECTION, ["-c", "/nope"], 2, "/nope"),
        ("serverurl=x\n", [], 2, "c.conf"),
        pytest.param(f"{SECTION}nothing\n", [], 2, "c.conf", id="line"),
        (f"{SECTION}serverurl=unix://nope.sock\n", [], 4, "{cwd}/nope.sock no such file"),
        pytest.param(
            f"{SECTION}serverurl=unix://~/n.sock\n",
            [],
            4,
            "/home/of/me/n.sock no such file",
            id="home",
        ),
        (f"{SECTION}serverurl=foo\n", [], 1, "foo"),
        pytest.param(f"{SECTION}serverurl=\n", [], 1, "", id="empty"),
    ],
)
def test_how_a_command_ends(
    tmp_path: Path, text: str, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "c.conf").write_text(text)
    # Mistakes in the file end in a message, not in a traceback.
    given = arguments if "-c" in arguments else ["-c", "c.conf", *arguments]
    program = install(tmp_path / "bin")
    ran = run([program, *given, "status"], cwd=tmp_path, HOME="/home/of/me")
    assert ran.status == status, ran
    assert said.format(cwd=tmp_path) in ran.out + ran.err
    assert "Traceback" not in ran.err
