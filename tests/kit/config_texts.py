"""Configurations as people might write them, made by hypothesis from the option table."""

from __future__ import annotations

from hypothesis import strategies as st

from trio_supervisor.core.config.options import TABLES

_INTEGERS = ["0", "1", "3", "-2", "1_000", "007", " 4 ", "+5"]
_BOOLEANS = ["true", "Yes", "on", "0", "OFF", "false"]
_SIZES = ["0", "1KB", "2 MB", "1gb", "-1", "50MB"]
_TEXTS = ["a", "a b", "%(program_name)s", "%(here)s/x", "%%"]
#: Rarely drawn for any option; right for few.
_WRONG = ["", "x", "1.5", "100%", "%(nope)s", '"true"', "a,,b", "50M", "always", "\u00e9"]
#: One draw in so many is from ``_WRONG``: most files should load, or little is compared.
_WRONG_SHARE = 40

#: What may be written for an option, by its name.
VALUES: dict[str, list[str]] = {
    "command": ["/bin/cat", "/bin/echo %(process_num)d %%", "%(ENV_HOME)s", "a ;b", "a;b", "a #b"],
    "process_name": [
        "%(program_name)s_%(process_num)02d",
        "p%(process_num)s",
        "%(group_name)s%(process_num)d",
    ],
    "numprocs": ["1", "2", "3", "0", "-1"],
    "autorestart": ["true", "false", "unexpected", "UNEXPECTED", "1"],
    "exitcodes": ["0", "0,2", "", " 1 , 3"],
    "stopsignal": ["TERM", "sigint", "9", "KILL", "USR1"],
    "user": ["root", "0", "nobody"],
    "umask": ["022", "0", "777", "0o27"],
    "environment": [
        'A="1"',
        "A=1,B=2",
        "A=\"x,y\",B='z w'",
        "A=1;B=2",
        'A="%(program_name)s"',
        'A="b#c"',
        "A=b#c",
        "A=a-b.c:/d(e)",
        "A=,",
        "",
    ],
    "directory": ["/tmp", "/nope", "~/x", "%(here)s"],
    "serverurl": ["AUTO", "auto", "http://x"],
    "events": ["TICK_5", "PROCESS_STATE,TICK", "tick_60 "],
    "result_handler": ["supervisor.dispatchers:default_handler"],
    "programs": ["a", "b,a", "a, b", "b", ""],
    "socket": ["unix:///tmp/x.sock", "unix:///tmp/%(program_name)s"],
    "socket_mode": ["0700", "0777"],
    "socket_owner": ["root", "nobody"],
    "socket_backlog": ["1", "128"],
    "redirect_stderr": ["false", "no"],
    "buffer_size": ["1", "10"],
    "pidfile": ["%(here)s/p.pid", "p.pid", "~/p.pid"],
    "loglevel": ["info", "DEBUG", "warn", "blather"],
    "childlogdir": ["/tmp", "%(here)s"],
    "identifier": ["x", "a b", "", "%(ENV_HOME)s"],
    "file": ["%(here)s/s.sock", "~/s", "a/../s"],
    "chmod": ["0770", "7"],
    "chown": ["nobody", "root:root", "0"],
    "port": ["9001", "*:9", ":80", "LocalHost:80", "127.0.0.1:1"],
    "username": ["u", ""],
    "password": ["p%%w", "%(ENV_HOME)s", "", "{SHA}82ab876d1387bfafe46cc1c8a2ef074eae50cb1d"],
    "event_len": ["characters", "Bytes"],
    "logfile": [
        "%(here)s/l.log",
        "NONE",
        "off",
        "AUTO",
        "auto",
        "syslog",
        "l.log",
        "%(here)s/%%%%",
    ],
}
#: The daemon and its servers.
GLOBAL = {
    "supervisord": ("",),
    "unix_http_server": ("", "a"),
    "inet_http_server": ("", "a", "b"),
}
#: Sections of the generated files; few names, so that they meet.
SECTIONS = {
    "program": ("a", "b", "c"),
    "eventlistener": ("a", "l"),
    "fcgi-program": ("b", "f"),
    "group": ("g", "a"),
}


def _right(option: str, default: str | None) -> list[str]:
    if option in VALUES:
        return VALUES[option]
    if option.endswith("_logfile"):
        return VALUES["logfile"]
    if option.endswith("maxbytes"):
        return _SIZES
    if default in ("true", "false"):
        return _BOOLEANS
    if default is not None and default.lstrip("-").isdigit():
        return _INTEGERS
    return _TEXTS


#: Options without which a section is refused.
_NEEDED = ("command", "events", "socket", "file", "port")


@st.composite
def sections(draw: st.DrawFn, kinds: dict[str, tuple[str, ...]]) -> str:
    """One section of these kinds with a few of its options."""
    kind = draw(st.sampled_from(sorted(kinds)))
    name = draw(st.sampled_from(kinds[kind]))
    table = {
        option.name: option
        for option in TABLES[kind]
        if not option.extension or option.name in VALUES
    }
    needed = [option for option in _NEEDED if option in table]
    chosen = draw(st.lists(st.sampled_from(sorted(table)), max_size=4, unique=True))
    names = sorted({*chosen, *needed})
    lines = []
    for option in names:
        # What Supervisor does not know it cannot refuse.
        wrong = draw(st.integers(1, _WRONG_SHARE)) == _WRONG_SHARE and not table[option].extension
        values = _WRONG if wrong else _right(option, table[option].default)
        if wrong and option == "process_name":
            values = values[1:]  # an empty one is refused on purpose
        lines.append(f"{option}={draw(st.sampled_from(values))}")
    header = f"{kind}:{name}" if name else kind
    return "\n".join([f"[{header}]", *lines]) + "\n"


def fragments() -> st.SearchStrategy[str]:
    """Programs and groups, to stand behind a base that loads."""
    return st.lists(sections(SECTIONS), min_size=1, max_size=4).map("".join)


def daemon_fragments() -> st.SearchStrategy[str]:
    """The daemon's own sections; their keys replace those of the base."""
    return st.lists(sections(GLOBAL), min_size=1, max_size=3).map("".join)
