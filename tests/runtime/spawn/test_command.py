"""Finding the program of a command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_supervisor.core.errors import NoFile, NotExecutable
from trio_supervisor.runtime.spawn.command import FoundCommand, find_command


def executable(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def find(text: str, **changes: object) -> FoundCommand:
    values: dict[str, object] = {
        "directory": None,
        "environment": {},
        "inherited": {"PATH": "/bin:/usr/bin"},
        **changes,
    }
    return find_command(text, **values)  # type: ignore[arg-type]  # options are test data


@pytest.mark.behaviour("process.md#command-lines")
def test_words_are_split_by_shell_rules_and_nothing_else() -> None:
    found = find(r"""/bin/sh "two words" 'single q' back\\slash $HOME *.py ~""")
    assert found.argv[1:] == ("two words", "single q", "back\\slash", "$HOME", "*.py", "~")


@pytest.mark.behaviour("process.md#command-lines")
def test_line_breaks_separate_words() -> None:
    assert find("/bin/echo a\n   b").argv == ("/bin/echo", "a", "b")


@pytest.mark.behaviour("process.md#command-lines")
@pytest.mark.parametrize("text", ["", "   ", '""'])
def test_an_empty_command_is_an_error(text: str) -> None:
    with pytest.raises(NotExecutable, match="command is empty"):
        find(text)


@pytest.mark.behaviour("process.md#command-lines")
def test_an_unbalanced_quote_is_an_error() -> None:
    with pytest.raises(NotExecutable) as caught:
        find('/bin/echo "unterminated')
    assert (
        caught.value.detail
        == "can't parse command '/bin/echo \"unterminated': No closing quotation"
    )


@pytest.mark.parametrize("name", ["/bin/\ud800", "/bin/a\0", "\ud800"])
def test_a_command_that_can_name_no_file_is_not_found(name: str) -> None:
    """Half a surrogate pair or a NUL byte, which a definition in Python may have."""
    with pytest.raises(NoFile, match="can't find command"):
        find(name)


@pytest.mark.behaviour("process.md#commands-that-cannot-be-executed")
def test_commands_that_cannot_be_executed(tmp_path: Path) -> None:
    with pytest.raises(NotExecutable) as directory:
        find(str(tmp_path))
    assert directory.value.detail == f"command at '{tmp_path}' is a directory"
    plain = executable(tmp_path / "plain", 0o644)
    with pytest.raises(NotExecutable) as not_executable:
        find(str(plain))
    assert not_executable.value.detail == f"command at '{plain}' is not executable"
    for name in ("surely-no-such-program", f"{tmp_path}/none"):
        with pytest.raises(NoFile) as missing:
            find(name)
        assert missing.value.detail == f"can't find command '{name}'"


@pytest.mark.behaviour("process.md#search-for-a-command", "process.md#command-lines")
def test_relative_names_are_looked_up_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = executable(tmp_path / "app" / "run.sh").parent
    monkeypatch.chdir(tmp_path)
    assert find("./run.sh now", directory=str(app)).argv == ("./run.sh", "now")
    with pytest.raises(NoFile):
        find("./run.sh")


@pytest.mark.behaviour("process.md#search-for-a-command")
def test_the_configured_path_beats_the_inherited_one(tmp_path: Path) -> None:
    found = executable(tmp_path / "bin" / "relcmd")
    command = find("relcmd", environment={"PATH": f"{tmp_path}/bin:/bin"})
    assert command == FoundCommand(("relcmd",), str(found))


@pytest.mark.behaviour("process.md#search-for-a-command")
def test_without_any_path_the_fallback_is_used() -> None:
    assert find("sh", inherited={}).executable == "/bin/sh"


@pytest.mark.behaviour("process.md#search-for-a-command")
def test_the_first_match_wins_even_if_it_cannot_be_run(tmp_path: Path) -> None:
    first = executable(tmp_path / "bin" / "c", 0o644)
    executable(tmp_path / "bin2" / "c")
    with pytest.raises(NotExecutable) as caught:
        find("c", environment={"PATH": f"{tmp_path}/bin{os.pathsep}{tmp_path}/bin2"})
    assert caught.value.detail == f"command at '{first}' is not executable"
