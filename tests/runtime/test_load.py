"""Finding and reading files: search list, includes, relative paths."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from trio_supervisor.core.config.model import Config, Severity, diff
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.runtime import load
from trio_supervisor.runtime.load import find_config, load_config

BASE = "[supervisord]\nchildlogdir=%(here)s\n"


def program(name: str, command: str = "/bin/cat", lines: str = "") -> str:
    return f"[program:{name}]\ncommand={command}\n{lines}\n"


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def loaded(directory: Path, text: str) -> Config:
    return load_config(str(write(directory, "c.conf", BASE + text)))


def commands(config: Config) -> dict[str, str]:
    return {p.name: p.command for group in config.groups for p in group.processes}


def said(config: Config, severity: Severity) -> list[str]:
    return [str(m) for m in config.messages if m.severity is severity]


def test_a_search_where_the_reader_of_stderr_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a reload of a daemon in the foreground whose output went to ``head``."""
    write(tmp_path, "supervisord.conf", BASE)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    read, write_end = os.pipe()
    os.close(read)
    with open(write_end, "w", buffering=1) as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        found = find_config(None, str(tmp_path))
        monkeypatch.undo()
        with suppress(OSError):  # what it has not taken
            stderr.close()
    assert found == "supervisord.conf"


@pytest.mark.behaviour("configuration.md#included-files")
def test_include_without_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no files setting"):
        loaded(tmp_path, "[include]\n")


@pytest.mark.behaviour(
    "configuration.md#included-files",
    "configuration.md#patterns-without-matches-and-unreadable-files",
)
def test_includes_without_matches(tmp_path: Path) -> None:
    assert said(loaded(tmp_path, "[include]\nfiles=\n"), Severity.WARN) == []
    config = loaded(tmp_path, "[include]\nfiles=nope/*.conf other.conf\n")
    assert said(config, Severity.WARN) == [
        f'No file matches via include "{tmp_path}/nope/*.conf"',
        f'No file matches via include "{tmp_path}/other.conf"',
    ]


@pytest.mark.behaviour(
    "configuration.md#precedence-of-included-files", "configuration.md#included-files"
)
def test_order_and_hidden_files(tmp_path: Path) -> None:
    for name in ("a", "b", ".hid", "sub/c"):
        write(tmp_path, f"d/{name}.conf", program("x", f"/{name}") + program(name.strip("./")[-1]))
    for pattern in ("d/*.conf", "**/*.conf"):
        config = loaded(tmp_path, f"[include]\nfiles={pattern}\n")
        assert commands(config) == {"a": "/bin/cat", "b": "/bin/cat", "x": "/b"}
        assert said(config, Severity.INFO) == [
            f'Included extra file "{tmp_path}/d/{name}.conf" during parsing' for name in "ab"
        ]


@pytest.mark.behaviour(
    "configuration.md#precedence-of-included-files", "configuration.md#included-files"
)
def test_words_in_order_matches_by_code_point(tmp_path: Path) -> None:
    for name in ("z", "a", "2", "10"):
        write(tmp_path, f"{name}.ini", program("x", f"/{name}"))
    assert commands(loaded(tmp_path, "[include]\nfiles=z.ini a.ini\n")) == {"x": "/a"}
    assert commands(loaded(tmp_path, "[include]\nfiles=[12]*.ini\n")) == {"x": "/2"}


@pytest.mark.behaviour(
    "configuration.md#precedence-of-included-files",
    "configuration.md#nested-includes",
    "configuration.md#the-directory-of-the-file",
)
def test_what_included_files_do(tmp_path: Path) -> None:
    write(
        tmp_path,
        "d/a.ini",
        '[supervisord]\nenvironment=Q="inc"\n[program:x]\ncommand=/inc %(here)s\n'
        "[include]\nfiles=%(here)s/../b.ini\n",
    )
    write(tmp_path, "b.ini", program("never"))
    config = loaded(
        tmp_path,
        "[include]\nfiles=d/a.ini\n[program:x]\ncommand=/main\n"
        "[program:y]\ncommand=%(ENV_Q)s %(here)s\n",
    )
    assert commands(config) == {"x": f"/inc {tmp_path}/d", "y": f"inc {tmp_path}"}


@pytest.mark.behaviour("configuration.md#precedence-of-included-files")
def test_supervisord_only_in_the_included_file(tmp_path: Path) -> None:
    write(tmp_path, "a.ini", "[supervisord]\nidentifier=there\n")
    path = write(tmp_path, "c.conf", "[include]\nfiles=a.ini\n")
    assert load_config(str(path)).daemon.identifier == "there"


@pytest.mark.behaviour("configuration.md#the-directory-of-the-file")
def test_here_escaped_with_an_include(tmp_path: Path) -> None:
    write(tmp_path, "a.ini", "")
    config = loaded(tmp_path, "[include]\nfiles=a.ini\n" + program("x", "/bin/echo %%(here)s"))
    assert commands(config) == {"x": "/bin/echo %(here)s"}


@pytest.mark.behaviour("configuration.md#included-files")
def test_commas_and_tildes_are_ordinary(tmp_path: Path) -> None:
    config = loaded(tmp_path, "[include]\nfiles=a.ini,b.ini ~/a.ini\n")
    assert said(config, Severity.WARN) == [
        f'No file matches via include "{tmp_path}/a.ini,b.ini"',
        f'No file matches via include "{tmp_path}/~/a.ini"',
    ]


@pytest.mark.behaviour("configuration.md#patterns-without-matches-and-unreadable-files")
def test_what_cannot_be_read_is_left_out_aloud(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "dangling.ini").symlink_to(tmp_path / "none")
    config = loaded(tmp_path, "[include]\nfiles=d dangling.ini\n")
    warnings = said(config, Severity.WARN)
    assert len(warnings) == 2
    assert all("is left out" in text or "No file matches" in text for text in warnings)


@pytest.mark.behaviour("configuration.md#included-files")
def test_names_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QQ", "third")
    node = os.uname().nodename
    for name in (node, "a", "third"):
        write(tmp_path, f"{name}.ini", program(f"p{name}"))
    files = "%(host_node_name)s.ini %(here)s/a.ini %(ENV_QQ)s.ini"
    config = loaded(tmp_path, f"[include]\nfiles={files}\n")
    assert set(commands(config)) == {f"p{node}", "pa", "pthird"}
    for bad in ("%(ENV_GG)s.ini", "a%b.ini"):
        with pytest.raises(ConfigError, match=r"include\.files"):
            loaded(tmp_path, f"environment=GG=x\n[include]\nfiles={bad}\n")


@pytest.mark.behaviour("configuration.md#errors-in-included-files")
@pytest.mark.parametrize("content", [b"foo\n", b"[program:x]\nfoo\n", b"[program:x]\nk=\xff\n"])
def test_broken_included_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ini").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.ini"):
        loaded(tmp_path, "[include]\nfiles=a.ini\n")


@pytest.mark.behaviour("configuration.md#encoding-and-line-ends")
@pytest.mark.parametrize("line", [b"identifier=\xff", b"; \xff"], ids=["value", "comment"])
def test_undecodable_bytes_are_an_error_also_in_a_comment(tmp_path: Path, line: bytes) -> None:
    """The bytes are not shown."""
    path = tmp_path / "c.conf"
    path.write_bytes(b"[supervisord]\n" + line + b"\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text") as caught:
        load_config(str(path))
    assert (caught.value.file, caught.value.line) == (str(path), 2)


@pytest.mark.behaviour("configuration.md#errors-in-included-files")
def test_places_of_errors(tmp_path: Path) -> None:
    write(tmp_path, "a.ini", "[program:x]\nautostart=maybe\n")
    for text in ("", program("x")):
        with pytest.raises(ConfigError) as caught:
            loaded(tmp_path, f"[include]\nfiles=a.ini\n{text}")
        assert (caught.value.file, caught.value.line) == (f"{tmp_path}/a.ini", 2)


@pytest.mark.behaviour(
    "configuration.md#precedence-of-included-files", "configuration.md#nested-includes"
)
def test_the_last_of_two_includes_counts_and_a_file_may_include_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.ini", program("a"))
    write(tmp_path, "b.ini", program("b"))
    config = loaded(tmp_path, "[include]\nfiles=a.ini\n[include]\nfiles=b.ini c.conf\n")
    assert set(commands(config)) == {"b"}


@pytest.mark.behaviour("configuration.md#search-for-the-configuration-file")
def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    for path, message in (
        (f"{tmp_path}/nope.conf", "could not find config file .*; name another with -c"),
        (str(tmp_path), "could not read config file .*; Is a directory"),
        ("", "could not find config file"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(path)


def test_a_fifo_without_writer_is_given_up_after_the_time_for_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "PATIENCE", 0)
    os.mkfifo(tmp_path / "c.conf")
    with pytest.raises(ConfigError, match=r"could not read config file .*sends no data"):
        load_config(str(tmp_path / "c.conf"))


def test_an_endless_device_is_given_up_at_the_largest_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MAX_BYTES", 1 << 20)
    (tmp_path / "c.conf").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"could not read config file .*larger than 1 MiB"):
        load_config(str(tmp_path / "c.conf"))


def test_a_pipe_is_read_until_its_writer_closes_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.conf")
    text = BASE + program("x") + ";" * 200_000 + "\n" + program("y")  # more than a pipe holds
    writer = Thread(target=write, args=(tmp_path, "c.conf", text), daemon=True)
    writer.start()
    assert set(commands(load_config(str(tmp_path / "c.conf")))) == {"x", "y"}
    writer.join()


@pytest.mark.behaviour("configuration.md#search-for-the-configuration-file")
def test_order_of_the_search(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    origin = tmp_path / "cwd"
    program_path = str(tmp_path / "env" / "bin" / "tsupervisord")
    places = [
        tmp_path / "env" / "etc" / "supervisord.conf",
        tmp_path / "env" / "supervisord.conf",
        origin / "supervisord.conf",
        origin / "etc" / "supervisord.conf",
    ]
    for place in places:
        write(place.parent, place.name, "")
    found = []
    for place in places:
        found.append(origin / find_config(program_path, str(origin)))
        place.unlink()
    assert found == places
    # For a program called by a short relative path the first two are in the current directory.
    for place in places[2:]:
        write(place.parent, place.name, "")
    assert find_config("./tsupervisord", str(origin)) == "etc/supervisord.conf"
    with pytest.raises(ConfigError, match="No config file found"):
        find_config(None, str(tmp_path / "env" / "bin"))
    warned = "running as root" in capfd.readouterr().err
    assert warned == (os.getuid() == 0)


@pytest.mark.behaviour("configuration.md#search-for-the-configuration-file")
def test_a_directory_is_chosen_and_fails_a_dangling_link_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "supervisord.conf").symlink_to(tmp_path / "none")
    (tmp_path / "etc" / "supervisord.conf").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"could not read config file etc/supervisord\.conf"):
        load_config(origin=str(tmp_path))


@pytest.mark.behaviour(
    "process.md#restart-of-the-daemon", "configuration.md#a-relative-configuration-path"
)
def test_relative_paths_mean_the_directory_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "c.conf", "[supervisord]\nlogfile=l.log\n[include]\nfiles=a.ini\n")
    write(tmp_path, "a.ini", program("x", "%(here)s"))
    monkeypatch.chdir("/")
    config = load_config("c.conf", origin=str(tmp_path))
    assert config.daemon.logfile == f"{tmp_path}/l.log"
    assert config.daemon.pidfile == f"{tmp_path}/supervisord.pid"
    assert commands(config) == {"x": str(tmp_path)}
    assert config.path == f"{tmp_path}/c.conf"


@pytest.mark.behaviour("configuration.md#command-line-options-override-the-file")
def test_the_command_line_beats_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "c.conf", BASE + "loglevel=debug\nminfds=10\nidentifier=file\n")
    overrides = {
        "loglevel": "error",
        "minfds": "20",
        "identifier": "100%",
        "logfile_maxbytes": "2MB",
    }
    daemon = load_config(str(path), overrides=overrides).daemon
    assert (daemon.loglevel, daemon.minfds) == (Severity.ERROR, 20)
    assert (daemon.identifier, daemon.logfile_maxbytes) == ("100%", 2 * 1024 * 1024)


@pytest.mark.behaviour("configuration.md#values-on-the-command-line")
@pytest.mark.parametrize(
    ("option", "text"),
    [("loglevel", "bogus"), ("minfds", "x"), ("umask", "9"), ("directory", "/nope")],
)
def test_bad_values_on_the_command_line(tmp_path: Path, option: str, text: str) -> None:
    path = write(tmp_path, "c.conf", BASE)
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), overrides={option: text})
    assert (caught.value.option, caught.value.file) == (option, "command line")


XY = program("x", lines="stopsignal=TERM\nenvironment=A=1,B=2") + program("y")


@pytest.mark.behaviour(
    "configuration.md#changes-of-a-group", "configuration.md#options-of-the-daemon-at-a-reread"
)
@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(XY, XY, ((), (), ()), id="nothing"),
        pytest.param(XY, XY + "bogus=1\n", ((), (), ()), id="unknown key"),
        pytest.param(XY, XY.replace("TERM", "15"), ((), (), ()), id="spelling"),
        pytest.param(XY, XY.replace("A=1,B=2", 'B="2",A="1"'), ((), (), ()), id="order"),
        pytest.param(XY, XY + "numprocs_start=4\n", ((), (), ()), id="no effect"),
        (XY, XY + "startsecs=3\n", ((), ("y",), ())),
        (XY, XY + "stdout_logfile=NONE\n", ((), ("y",), ())),
        (program("y", lines="stdout_logfile=/tmp/l"), program("y"), ((), ("y",), ())),
        (
            program("y", lines="exitcodes=0,2"),
            program("y", lines="exitcodes=2,0"),
            ((), ("y",), ()),
        ),
        pytest.param(XY, XY + program("z"), (("z",), (), ()), id="added"),
        pytest.param(XY, program("y"), ((), (), ("x",)), id="removed"),
        pytest.param(XY, XY + "[group:g]\nprograms=x\n", (("g",), (), ("x",)), id="moved"),
        (XY, XY + "[group:x]\nprograms=x\n", ((), (), ())),
        pytest.param(
            program("y"),
            "[eventlistener:y]\ncommand=/bin/cat\nevents=TICK_5\npriority=999\n",
            ((), ("y",), ()),
            id="listener",
        ),
        pytest.param(
            program("y"),
            "[fcgi-program:y]\ncommand=/bin/cat\nsocket=unix:///tmp/s\n",
            ((), ("y",), ()),
            id="fcgi",
        ),
        (XY, "environment=NEW=1\n" + XY, ((), ("x", "y"), ())),
        (XY, "identifier=new\nstrip_ansi=true\n" + XY, ((), (), ())),
        pytest.param(
            XY + "[group:g]\nprograms=x,y\n",
            XY + "[group:g]\nprograms=y,x\n",
            ((), ("g",), ()),
            id="order",
        ),
        pytest.param(
            XY + "[group:g]\nprograms=x,y\n",
            XY + "[group:g]\nprograms=x\n",
            (("y",), ("g",), ()),
            id="dropped",
        ),
        pytest.param(
            "[eventlistener:l]\ncommand=a\nevents=TICK_5,TICK_60\n",
            "[eventlistener:l]\ncommand=a\nevents=TICK_60,TICK_5\n",
            ((), (), ()),
            id="order",
        ),
        pytest.param(
            "[eventlistener:l]\ncommand=a\nevents=TICK_5\n",
            "[eventlistener:l]\ncommand=a\nevents=TICK_5\nbuffer_size=11\n",
            ((), ("l",), ()),
            id="buffer_size",
        ),
        (
            "[fcgi-program:f]\ncommand=a\nsocket=unix:///tmp/s\n",
            "[fcgi-program:f]\ncommand=a\nsocket=unix:///tmp/s\nsocket_mode=0777\n",
            ((), ("f",), ()),
        ),
    ],
)
def test_rereads(
    tmp_path: Path, before: str, after: str, expected: tuple[tuple[str, ...], ...]
) -> None:
    active = {group.name: group for group in loaded(tmp_path, before).groups}
    found = diff(active, loaded(tmp_path, after).groups)
    assert (found.added, found.changed, found.removed) == expected


def test_no_temporary_directory_is_needed_without_automatic_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    path = write(tmp_path, "c.conf", "[supervisord]\n")
    assert load_config(str(path)).daemon.childlogdir == "/tmp"
