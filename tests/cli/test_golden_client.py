"""Golden cases of config.md 17.8 that the client shows when it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.ctl import install, run

SECTION = "[supervisorctl]\n"


@pytest.mark.parametrize(
    ("text", "arguments", "status", "said"),
    [
        pytest.param(
            "[supervisord]\n", [], 2, "does not include supervisorctl section", id="G230 E50"
        ),
        pytest.param(f"{SECTION}password=a%b\n", [], 2, "badly formatted", id="G230 E10 G92"),
        pytest.param(SECTION, ["-s", "foo"], 2, "foo", id="G230 E60"),
        pytest.param(SECTION, ["-c", "/nope"], 2, "/nope", id="G230 E2"),
        pytest.param("serverurl=x\n", [], 2, "c.conf", id="G231 E51"),
        pytest.param(f"{SECTION}nothing\n", [], 2, "c.conf", id="G231 E51 line"),
        pytest.param(
            f"{SECTION}serverurl=unix://nope.sock\n", [], 4, "{cwd}/nope.sock no such file",
            id="G232",
        ),
        pytest.param(
            f"{SECTION}serverurl=unix://~/n.sock\n", [], 4, "/home/of/me/n.sock no such file",
            id="G232 home",
        ),
        pytest.param(f"{SECTION}serverurl=foo\n", [], 1, "foo", id="G233"),
        pytest.param(f"{SECTION}serverurl=\n", [], 1, "", id="G233 empty"),
    ],
)  # fmt: skip
def test_how_a_command_ends(
    tmp_path: Path, text: str, arguments: list[str], status: int, said: str
) -> None:
    (tmp_path / "c.conf").write_text(text)
    # Mistakes in the file end in a message, not in a traceback (Q76, Q82, Q85).
    given = arguments if "-c" in arguments else ["-c", "c.conf", *arguments]
    program = install(tmp_path / "bin")
    ran = run([program, *given, "status"], cwd=tmp_path, HOME="/home/of/me")
    assert ran.status == status, ran
    assert said.format(cwd=tmp_path) in ran.out + ran.err
    assert "Traceback" not in ran.err
