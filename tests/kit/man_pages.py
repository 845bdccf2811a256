"""Makes the manual pages from the tables of flags, options and commands, in the man(7) macros."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.kit.reference import CHAPTERS, listed
from trio_supervisor.cli.ctl.commands import COMMANDS
from trio_supervisor.cli.ctl.options import FLAGS as CLIENT_FLAGS
from trio_supervisor.cli.daemon_options import FLAGS as DAEMON_FLAGS
from trio_supervisor.cli.pidproxy import PASSED_ON
from trio_supervisor.core.config.options import restart_scope
from trio_supervisor.core.config.search import SEARCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_supervisor.cli.flags import Flag

_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
#: Date of the pages. It changes with a release, not with each option.
DATE = "2026-11-30"
SOURCE = "trio-supervisor"
MANUAL = "trio-supervisor manual"
#: Name of a page, its section and the texts of its "SEE ALSO".
PAGES = (
    ("tsupervisord", "8"),
    ("tsupervisorctl", "1"),
    ("tsupervisord.conf", "5"),
    ("echo_tsupervisord_conf", "1"),
    ("tpidproxy", "1"),
)


def plain(text: str) -> str:
    """Text that no macro and no escape begins in."""
    text = text.replace("\\", "\\e")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def dashed(text: str) -> str:
    """Text to type: its hyphens are ASCII, so that they can be copied."""
    return plain(text).replace("-", "\\-")


def page(name: str, about: str, synopsis: Iterable[str], *sections: tuple[str, list[str]]) -> str:
    """The source of a page."""
    number = dict(PAGES)[name]
    others = [f"{other}({n})" for other, n in PAGES if other != name]
    lines = [
        '.\\" Made by tests/kit/man_pages.py from the tables of the package.',
        f'.TH {name.upper()} {number} {DATE} "{SOURCE}" "{MANUAL}"',
        ".nh",  # names of commands are copied
        ".SH NAME",
        f"{name} \\- {plain(about)}",
    ]
    synopsis = list(synopsis)
    if synopsis:
        lines.append(".SH SYNOPSIS")
        for n, line in enumerate(synopsis):
            lines += [*([".br"] if n else []), line]
    for title, body in sections:
        lines += [f".SH {title}", *body]
    lines += [".SH SEE ALSO", *_joined(others)]
    return "\n".join(lines) + "\n"


def _joined(pages: list[str]) -> list[str]:
    """References to pages, one a line."""
    lines = []
    for n, each in enumerate(pages):
        name, _, number = each.partition("(")
        comma = "," if n < len(pages) - 1 else ""
        lines.append(f'.BR {dashed(name)} "({number}{comma}"')
    return lines


def term(what: str, text: str) -> list[str]:
    """One entry of a list."""
    return [".TP", f".B {dashed(what)}", plain(text)]


def paragraph(*lines: str) -> list[str]:
    return [plain(line) for line in lines]


def new_paragraph(*lines: str) -> list[str]:
    return [".PP", *paragraph(*lines)]


def example(*lines: str) -> list[str]:
    return [".nf", *(dashed(line) for line in lines), ".fi"]


def flags(table: Iterable[Flag]) -> list[str]:
    return [line for flag in table for line in term(flag.spelled, f"{_sentence(flag.text)}.")]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def tsupervisord() -> str:
    return page(
        "tsupervisord",
        "start programs, keep them running, and answer tsupervisorctl",
        (
            ".B tsupervisord\n[\\fIoption\\fR ...]",
            ".B tsupervisord \\-\\-check\n|\n.B \\-\\-convert\n|\n.BI \\-\\-export\\~ FORM\n"
            "|\n.B \\-\\-print\\-unit\n[\\fIFILE\\fR]",
        ),
        (
            "DESCRIPTION",
            paragraph(
                "The daemon reads a configuration, binds its sockets, starts the programs in",
                "the order of their priorities, restarts those that exit, and logs their",
                "output. It is a drop-in successor to Supervisor 4.3 and reads the same file.",
                "Without -n it goes to the background, and the command returns when the daemon is",
                "ready.",
            ),
        ),
        (
            "OPTIONS",
            paragraph("They override the configuration file, also when it is reloaded.")
            + flags(DAEMON_FLAGS),
        ),
        (
            "SIGNALS",
            [
                *term("TERM, INT, QUIT", "Stop all programs in order and exit."),
                *term(
                    "HUP",
                    "Read the configuration again, stop all programs and start anew. "
                    "A configuration with an error stops nothing.",
                ),
                *term("USR2", "Close and reopen all log files, for logrotate."),
            ],
        ),
        (
            "ENVIRONMENT",
            term(
                "NOTIFY_SOCKET, WATCHDOG_USEC",
                "Set by systemd for a service of Type=notify. The daemon reports when it is ready, "
                "reloads or stops, the states of its programs as status, and feeds the watchdog. "
                "Programs do not inherit these variables.",
            ),
        ),
        (
            "FILES",
            paragraph("Without -c the first of these is read:")
            + example("", *(f"  {path}" for path in SEARCHED)),
        ),
        (
            "EXIT STATUS",
            [
                *term("0", "An orderly shutdown."),
                *term("1", "An internal error; all programs were stopped."),
                *term("2", "An error at start: command line, configuration, limits, sockets."),
            ],
        ),
        (
            "EXAMPLES",
            example(
                "tsupervisord --check -c /etc/supervisor/supervisord.conf",
                "tsupervisord -n -c /etc/supervisor/supervisord.conf",
                "tsupervisord --print-unit /etc/supervisor/supervisord.conf",
            ),
        ),
    )


def tsupervisorctl() -> str:
    actions: list[str] = []
    for command in COMMANDS.values():
        for form, text in (*command.forms, *command.options):
            actions += term(form, f"{_sentence(text)}.")
    return page(
        "tsupervisorctl",
        "control the programs of a running tsupervisord",
        (".B tsupervisorctl\n[\\fIoption\\fR ...] [\\fIaction\\fR [\\fIargument\\fR ...]]",),
        (
            "DESCRIPTION",
            paragraph(
                "Performs one action and exits. Without an action it opens a shell that reads",
                "actions. A name is that of a program, group:process for a process of a group,",
                "group:* for a whole group, a pattern in quotes, or all.",
            ),
        ),
        ("OPTIONS", flags(CLIENT_FLAGS)),
        ("ACTIONS", actions),
        (
            "EXIT STATUS",
            [
                *term("0", "Done, or it was so already."),
                *term("1", "Any failure without a status of its own."),
                *term("2", "A wrong command line or configuration."),
                *term("3", "status: a process is STOPPED, EXITED, FATAL or UNKNOWN."),
                *term("4", "status: unknown name or no daemon; otherwise a refused connection."),
                *term("7", "No socket file, or a start that failed."),
                *term("124", "A wait that timed out."),
            ],
        ),
    )


def configuration() -> str:
    sections = []
    for kind, (header, about) in CHAPTERS.items():
        body = paragraph(_LINK.sub(r"\1", about).replace("`", ""))
        for option in listed(kind):
            default = "" if option.default is None else f" Default: {option.default or 'empty'}."
            change = restart_scope(kind, option).value
            text = f"{_sentence(option.doc)}. Type: {option.type.label}.{default} Change: {change}."
            if option.extended:
                text += " Needs extended=true."
            body += term(option.name, text)
        sections.append((f'"{dashed(header)}"', body))
    return page(
        "tsupervisord.conf",
        "configuration of tsupervisord and tsupervisorctl",
        (),
        (
            "DESCRIPTION",
            paragraph(
                "The file has sections in brackets and options of the form key = value. A",
                "semicolon after a blank begins a comment. Lines that begin with a blank",
                "continue a value. %(here)s is the directory of the file, %(ENV_X)s the",
                "environment variable X, and %% a percent sign. The same configuration can be",
                "written as TOML, in a file with the suffix .toml and with ${name} for",
                "expansions.",
            )
            + new_paragraph(
                "The word after Change: says what it takes until a changed value is in force:",
                "reread (tsupervisorctl reread), update (tsupervisorctl update restarts the",
                "changed groups), reload (tsupervisorctl reload restarts every program), new",
                "start (of the daemon), or next command (of the client).",
            ),
        ),
        *sections,
        (
            "EXAMPLES",
            example(
                "[unix_http_server]",
                "file = /run/supervisor/supervisor.sock",
                "",
                "[supervisord]",
                "logfile = /var/log/supervisor/supervisord.log",
                "pidfile = /run/supervisor/supervisord.pid",
                "",
                "[rpcinterface:supervisor]",
                "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
                "",
                "[supervisorctl]",
                "serverurl = unix:///run/supervisor/supervisor.sock",
                "",
                "[program:web]",
                "command = /srv/web/bin/serve --port 8000",
                "user = web",
            ),
        ),
    )


def echo_conf() -> str:
    return page(
        "echo_tsupervisord_conf",
        "print a sample configuration",
        (".B echo_tsupervisord_conf",),
        (
            "DESCRIPTION",
            paragraph(
                "Prints a configuration that loads unchanged. Every other option is there as a",
                "comment with its default and a short explanation; it takes effect when its",
                "semicolon is removed.",
            ),
        ),
        ("EXAMPLES", example("echo_tsupervisord_conf > supervisord.conf")),
    )


def tpidproxy() -> str:
    signals = ", ".join(sorted(number.name.removeprefix("SIG") for number in PASSED_ON))
    return page(
        "tpidproxy",
        "run a program that goes to the background under a supervisor",
        (".B tpidproxy\n.I PIDFILE COMMAND\n[\\fIARGUMENT\\fR ...]",),
        (
            "DESCRIPTION",
            paragraph(
                "Runs the command and sends the signals that it gets itself to the process whose",
                f"pid is in the file: {signals}.",
                "After TERM, INT or QUIT it exits when that process is gone.",
            ),
        ),
        (
            "EXIT STATUS",
            paragraph(
                "That of the command, or 128 plus the number of the signal that ended it. 0",
                "after the end of the process in the pidfile, 1 for a pid that does not exist,",
                "127 for a command that cannot be started.",
            ),
        ),
        (
            "EXAMPLES",
            example(
                "[program:database]",
                "command = tpidproxy /run/database.pid /usr/sbin/database --daemon",
            ),
        ),
    )


#: File below ``man`` -> what makes it.
MAKERS: dict[str, Callable[[], str]] = {
    "tsupervisord.8": tsupervisord,
    "tsupervisorctl.1": tsupervisorctl,
    "tsupervisord.conf.5": configuration,
    "echo_tsupervisord_conf.1": echo_conf,
    "tpidproxy.1": tpidproxy,
}
