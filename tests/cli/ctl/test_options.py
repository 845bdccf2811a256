"""Command line and configuration of the client."""

from __future__ import annotations

import getopt
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.help import CHAPTERS, usage
from trio_supervisor.cli.ctl.options import (
    DEFAULT_URL,
    FLAGS,
    ClientOptions,
    OptionError,
    parse_flags,
    read_options,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*words: str, program: str = "tsupervisorctl", **environ: str) -> ClientOptions:
    return read_options([program, *words], environ)


def problem(*words: str) -> str:
    with pytest.raises(OptionError) as caught:
        options(*words)
    return str(caught.value)


@pytest.mark.behaviour("client.md#words-form-one-line")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], None),
        ([""], ""),
        (["status"], "status"),
        (["signal HUP", "cat"], "signal HUP cat"),
        (["status", "-h"], "status -h"),
        (["--", "-x"], "-x"),
        (["-i"], None),
        (["-i", "version"], "version"),
    ],
)
def test_words_become_a_line(words: list[str], line: str | None) -> None:
    read = options(*words)
    assert read.line == line
    assert read.interactive == ("-i" in words)
    assert not read.help


@pytest.mark.behaviour("client.md#history_file")
@pytest.mark.parametrize(
    "words",
    [
        ["-s", "http://h:1", "-u", "me", "-p", "pw", "-r", "hist"],
        ["-shttp://h:1", "-ume", "-ppw", "-rhist"],
        ["--serverurl", "http://h:1", "--username=me", "--pass", "pw", "--history_file=hist"],
        ["--server=http://h:1", "--user", "me", "--password=pw", "--history-file", "hist"],
        ["--serv", "http://h:1", "--u=me", "--p=pw", "--history-file=hist"],
        ["-s", "http://h:1", "-u", "me", "-p", "pw", "--hist", "hist"],
    ],
)
def test_spellings_of_history_file(words: list[str]) -> None:
    read = options(*words, "pid")
    assert (read.serverurl, read.username, read.password) == ("http://h:1", "me", "pw")
    assert (read.history_file, read.line) == ("hist", "pid")


@pytest.mark.parametrize("word", ["-h", "-?", "--help"])
def test_help_comes_before_any_config(word: str) -> None:
    assert options("-c", "/no/such", word).help
    text = usage("/x/supervisorctl")
    assert text.startswith("usage: supervisorctl [options]")
    assert max(map(len, text.splitlines())) <= 80
    for flag in FLAGS:
        assert f"--{flag.long}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-Z"], "option -Z not recognized"),
        (["--bogus"], "option --bogus not recognized"),
        (["-v"], "option -v not recognized"),
        (["-c"], "option -c requires argument"),
        (["-s", "http://a", "-s", "http://a"], "conflicting command line option '-s'"),
        (["-s", "http://a", "--serverurl=x:y"], "conflicting command line option '--serverurl'"),
        (["-i", "-i"], "conflicting command line option '-i'"),
        (["-s", "foo"], "invalid value for -s 'foo': value 'foo' is not a URL"),
        (["-s", "http:"], "invalid value for -s 'http:': value 'http:' is not a URL"),
        (["-s", "unix://"], "invalid value for -s 'unix://': value 'unix://' is not a URL"),
        (["--serverurl=x"], "invalid value for --serverurl 'x': value 'x' is not a URL"),
        (["-status"], "invalid value for -s 'tatus': value 'tatus' is not a URL"),
        (["--timeout"], "option --timeout requires argument"),
        (["--t", "1"], "option --t not recognized"),
        (["--raw=1"], "option --raw must not have an argument"),
        (
            ["--timeout", "0"],
            "invalid value for --timeout '0': write a number of seconds above 0",
        ),
        (
            ["--timeout=nan"],
            "invalid value for --timeout 'nan': write a number of seconds above 0",
        ),
        (["-c", "none.conf"], "could not find config file none.conf"),
        (["-c", "."], "could not read config file ."),
    ],
)
def test_wrong_options_are_errors(words: list[str], message: str) -> None:
    assert problem(*words, *(["status"] if words[-1] not in ("-c", "--timeout") else [])) == message


#: The flags of Supervisor in getopt's notation; getopt parses its command line.
SHORT = "?" + "".join(f.short + (":" if f.value else "") for f in FLAGS if f.short)
LONG = [f.long + ("=" if f.value else "") for f in FLAGS if f.short]
WORDS = """
    -s -shttp://x -u me -i -ipx -h -? -- - --help --h --hi --user --user=x --u= --p pw --pass=
    --serv http://a --interactive=1 --int --i --c --config=z -Z --bogus status --in=
    --= --=x -iZ -si -ps
"""


def by_getopt(words: list[str]) -> tuple[dict[str, str], list[str]] | str:
    """What Supervisor makes of a command line: values and words, or its complaint."""
    names = {f"-{flag.short}": flag.long for flag in FLAGS} | {"-?": "help"}
    names |= {f"--{flag.long}": flag.long for flag in FLAGS}
    try:
        pairs, rest = getopt.getopt(words, SHORT, LONG)
    except getopt.GetoptError as error:
        return str(error)
    given: dict[str, str] = {}
    for spelling, value in pairs:
        name = names[spelling]
        if name == "help":
            return {"help": ""}, []
        if name in given:
            return f"conflicting command line option '{spelling}'"
        if name == "serverurl" and not value.startswith("http"):
            return f"invalid value for {spelling} '{value}': value '{value}' is not a URL"
        given[name] = value
    return given, rest


def by_us(words: list[str]) -> tuple[dict[str, str], list[str]] | str:
    try:
        return parse_flags(words)
    except OptionError as error:
        return str(error)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=4))
def test_flags_are_parsed_as_getopt_does(words: list[str]) -> None:
    assert by_us(words) == by_getopt(words)


def test_help_names_every_action() -> None:
    said = usage("ctl")
    assert sorted(name for names in CHAPTERS.values() for name in names) == sorted(
        {row.name for row in COMMANDS.values() if not row.extension} - {"exit", "quit", "open"}
    )
    for name in COMMANDS.keys() - {"exit", "quit", "open"}:
        assert f"\n  {name} " in said
    assert max(map(len, said.splitlines())) <= 100


def test_timeout_and_raw() -> None:
    assert (options().timeout, options().raw) == (None, False)
    read = options("--timeout", "1.5", "--raw", "pid")
    assert (read.timeout, read.raw, read.line) == (1.5, True, "pid")


@pytest.mark.behaviour("client.md#addresses-of-the-daemon")
@pytest.mark.parametrize("url", ["ftp://h", "gopher://h", "localhost:9001"])
def test_urls_that_fail_later(url: str) -> None:
    assert options("-s", url).serverurl == url


@pytest.mark.behaviour("client.md#configuration-of-the-client")
def test_defaults_without_any_file() -> None:
    read = options()
    assert (read.serverurl, read.username, read.password) == (DEFAULT_URL, None, None)
    assert (read.prompt, read.history_file, read.plugin_sections) == ("supervisor", None, [])


def test_file(here: Path) -> None:
    (here / "c.conf").write_text(
        "[supervisord]\nnodaemon = %(broken\n[include]\nfiles = more.conf\n"
        "[supervisorctl]\nserverurl = http://%(ENV_H)s:1 ; comment\nusername=%(ENV_H)s\n"
        "interactive = true\nunknown = 1\nprompt =\n"
        "[supervisorctl]\nPassword = a%%b # comment\nhistory_file = %(here)s/../h\n"
    )
    (here / "more.conf").write_text("[supervisorctl]\nusername = other\n")
    read = options("-c", "c.conf", H="host")
    assert (read.serverurl, read.username, read.password) == ("http://host:1", "host", "a%b")
    assert (read.prompt, read.history_file) == ("", str(here.parent / "h"))
    assert not read.interactive


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("unix://%(here)s/a/../s.sock", "unix://{here}/s.sock"),
        ("unix://run/s.sock", "unix://{here}/run/s.sock"),
        ("unix://~/s.sock", "unix://{home}/s.sock"),
        ("https://whatever", "https://whatever"),
    ],
)
def test_unix_paths_of_the_file_are_cleaned_up(here: Path, written: str, url: str) -> None:
    (here / "c.conf").write_text(f"[supervisorctl]\nserverurl={written}\n")
    home = os.path.expanduser("~")
    assert options("-c", "c.conf").serverurl == url.format(here=here, home=home)


@pytest.mark.behaviour("client.md#configuration-of-the-client", "client.md#history_file")
def test_command_line_beats_file_and_is_taken_as_it_is(here: Path) -> None:
    (here / "c.conf").write_text(
        "[supervisorctl]\nserverurl=http://file:1\nusername=u\npassword=p\nhistory_file=f\n"
    )
    read = options("-c", "c.conf", "-s", "unix://a/../b%(x)s", "-r", "mine")
    assert (read.serverurl, read.history_file) == ("unix://a/../b%(x)s", "mine")
    assert (read.username, read.password) == ("u", "p")


@pytest.mark.behaviour("client.md#errors-of-the-clients-configuration")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "serverurl=%(foo)s",
            "Format string '%(foo)s' for 'supervisorctl.serverurl' contains names ('foo') "
            "which cannot be expanded",
        ),
        (
            "password=%(here)s",
            "Format string '%(here)s' for 'supervisorctl.password' contains names ('here') "
            "which cannot be expanded",
        ),
        (
            "prompt=100%",
            "Format string '100%' for 'supervisorctl.prompt' is badly formatted: incomplete format",
        ),
    ],
)
def test_expansion_errors(here: Path, text: str, message: str) -> None:
    (here / "c.conf").write_text(f"[supervisorctl]\n{text}\n")
    assert problem("-c", "c.conf") == message


@pytest.mark.behaviour("client.md#errors-of-the-clients-configuration")
@pytest.mark.parametrize("text", [b"serverurl=x\n", b"[supervisorctl]\nword\n", b"[s]\na=\xff\n"])
def test_file_that_is_no_ini(here: Path, text: bytes) -> None:
    (here / "c.conf").write_bytes(text)
    message = problem("-c", "c.conf")
    assert "c.conf" in message
    assert "\n" not in message


def test_byte_order_mark_is_skipped(here: Path) -> None:
    (here / "c.conf").write_bytes(b"\xef\xbb\xbf[supervisorctl]\nusername=u\n")
    assert options("-c", "c.conf").username == "u"


@pytest.mark.behaviour("client.md#errors-of-the-clients-configuration")
def test_file_without_section(here: Path) -> None:
    (here / "supervisord.conf").write_text("[supervisord]\n")
    assert options().serverurl == DEFAULT_URL  # found by searching
    assert options("-c", "supervisord.conf", "-s", "http://h").serverurl == "http://h"
    message = ".ini file does not include supervisorctl section (file: 'supervisord.conf')"
    assert problem("-c", "supervisord.conf") == message


SEARCHED = (
    "prefix/etc/supervisord.conf",
    "prefix/supervisord.conf",
    "supervisord.conf",
    "etc/supervisord.conf",
)


@pytest.mark.parametrize("first", range(4))
def test_order_of_the_search(here: Path, first: int) -> None:
    (here / "prefix/etc").mkdir(parents=True)
    (here / "etc").mkdir()
    for place in SEARCHED[first:]:
        (here / place).write_text(f"[supervisorctl]\nusername={place}\n")
    assert options(program=f"{here}/prefix/bin/tsupervisorctl").username == SEARCHED[first]


def test_a_relative_program_searches_the_working_directory(here: Path) -> None:
    (here / "etc").mkdir()
    for place in ("supervisord.conf", "etc/supervisord.conf"):
        (here / place).write_text(f"[supervisorctl]\nusername={place}\n")
    assert options(program="bin/tsupervisorctl").username == "etc/supervisord.conf"


def test_dangling_link_is_skipped_and_directory_is_chosen(here: Path) -> None:
    (here / "etc").mkdir()
    (here / "supervisord.conf").symlink_to("nowhere")
    (here / "etc/supervisord.conf").mkdir()
    with pytest.raises(OptionError, match="could not read config file etc/"):
        options(program="/no/such/tsupervisorctl")
