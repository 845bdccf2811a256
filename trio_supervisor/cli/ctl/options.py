"""The settings of ``tsupervisorctl``, from its command line and its configuration file.

Reads the file and the environment once; opens no connection.
"""

from __future__ import annotations

import os

from trio_supervisor.cli.client.tls_options import TlsOptions
from trio_supervisor.cli.ctl.ini import quick_sections
from trio_supervisor.cli.flags import Flag, FlagError, flag_values, split_flags
from trio_supervisor.core.config.search import search_path
from trio_supervisor.core.numbers import seconds

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Sections = dict[str, dict[str, str]]

#: Commands with options whose values may have blanks.
WITH_TEXT = frozenset({"logs", "history"})
DEFAULT_URL = "http://localhost:9001"
#: Supervisor lacks those that cannot be abbreviated: they must not make a prefix of one of its own
#: ambiguous.
FLAGS = (
    Flag("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    Flag("s", "serverurl", "URL", f"where the daemon listens (default {DEFAULT_URL})"),
    Flag("u", "username", "NAME", "user name to log in with"),
    Flag("p", "password", "TEXT", "password to log in with"),
    Flag(
        "r",
        "history_file",
        "FILE",
        "keep the lines typed in the shell here",
        alias="history-file",  # Supervisor documents this spelling but refuses it
    ),
    Flag("i", "interactive", "", "ask before shutdown and reload, and for a missing password"),
    Flag(
        "",
        "timeout",
        "SECONDS",
        "give up if the daemon does not answer within SECONDS (exit status 124)",
        abbreviated=False,
    ),
    Flag(
        "",
        "raw",
        "",
        "do not escape control characters of logs on a terminal",
        abbreviated=False,
    ),
    Flag(
        "",
        "completion",
        "SHELL",
        "print a completion script for bash, zsh or fish",
        abbreviated=False,
    ),
    Flag("", "version", "", "show the version of this program", abbreviated=False),
    Flag("h", "help", "", "show this text (also -?)"),
)
#: What the completion scripts ask with, see ``completion.py``; not for people.
COMPLETE = "--complete"

SECTION = "supervisorctl"
PLUGIN_PREFIX = "ctlplugin:"
FACTORY_KEY = "supervisor.ctl_factory"
#: Values that mean false; any other value means true.
FALSE = frozenset({"false", "no", "off", "0"})


class OptionError(Exception):
    """The command line or the configuration is wrong; the text is for people."""


class ClientOptions:
    """The settings of the command line and of the file, merged."""

    __slots__ = (
        "complete",
        "completion",
        "configuration",
        "help",
        "history_file",
        "interactive",
        "line",
        "password",
        "plugin_sections",
        "plugins",
        "prompt",
        "raw",
        "serverurl",
        "timeout",
        "tls",
        "url_given",
        "username",
        "version",
    )

    def __init__(self) -> None:
        self.help = False
        self.version = False
        self.completion: str | None = None
        """The shell whose completion script was requested."""
        self.complete: list[str] | None = None
        """The words typed in a shell that are to be completed."""
        self.interactive = False
        self.configuration: str | None = None
        """The file that was read; None if there was none."""
        self.line: str | None = None
        """The action with its arguments; None opens the shell."""
        self.serverurl = DEFAULT_URL
        self.url_given = False
        """The URL was given on the command line."""
        self.username: str | None = None
        self.password: str | None = None
        self.tls = TlsOptions()
        self.prompt = "supervisor"
        self.history_file: str | None = None
        self.timeout: float | None = None
        """Seconds that an answer of the daemon may take; None means no limit."""
        self.raw = False
        self.plugin_sections: list[PluginSection] = []
        self.plugins: list[Any] = []
        """The plugins, the default one first. Plugins read this attribute."""


class PluginSection:
    """One ``[ctlplugin:NAME]`` section."""

    __slots__ = ("factory", "name", "options")

    def __init__(self, name: str, factory: str, options: dict[str, str]) -> None:
        self.name = name
        self.factory = factory
        self.options = options


def _line(words: list[str]) -> str:
    """Return the words of the command line as a line of the shell."""
    if words[0] in WITH_TEXT and any(" " in word for word in words):
        import shlex

        return shlex.join(words)
    return " ".join(words)  # a word may be several: automation passes "signal HUP" as one


def read_options(argv: list[str], environ: Mapping[str, str]) -> ClientOptions:
    """Merge ``argv`` (program first), the file that it names or that is found, and the defaults.

    Raises OptionError.
    """
    options = ClientOptions()
    if argv[1:2] == [COMPLETE]:
        options.complete = argv[2:]
        return options
    given, words = parse_flags(argv[1:])
    options.completion = given.get("completion")
    if options.completion is not None:
        return options
    options.help, options.version = "help" in given, "version" in given
    if options.help or options.version:
        return options
    options.interactive = "interactive" in given
    options.raw = "raw" in given
    options.timeout = seconds(given["timeout"]) if "timeout" in given else None
    if words:
        options.line = _line(words)
    _apply_file(options, given, argv[0], environ)
    options.serverurl = given.get("serverurl", options.serverurl)
    options.url_given = "serverurl" in given
    options.username = given.get("username", options.username)
    options.password = given.get("password", options.password)
    options.history_file = given.get("history_file", options.history_file)
    return options


def parse_flags(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of the flags by long name, and the words after them. Raises OptionError."""
    try:
        found, rest = split_flags(FLAGS, arguments)
        given = flag_values(found, _check)
    except FlagError as error:
        raise OptionError(str(error)) from None
    return given, [] if given.keys() & {"help", "version"} else rest


def _check(spelling: str, flag: Flag, value: str) -> None:
    if flag.long == "serverurl" and not _is_url(value):
        raise OptionError(f"invalid value for {spelling} '{value}': value '{value}' is not a URL")
    if flag.long == "timeout" and not _is_seconds(value):
        raise OptionError(
            f"invalid value for {spelling} '{value}': write a number of seconds above 0"
        )


def _is_url(text: str) -> bool:
    """Whether it has a scheme and a host or a path; the first call checks the scheme."""
    scheme, colon, rest = text.partition(":")
    place = rest.removeprefix("//").split("?")[0].split("#")[0]
    return bool(colon and scheme[:1].isalpha() and scheme.isascii() and place)


def _is_seconds(text: str) -> bool:
    try:
        return seconds(text) > 0
    except ValueError:
        return False


def _apply_file(
    options: ClientOptions, given: dict[str, str], program: str, environ: Mapping[str, str]
) -> None:
    path = given.get("configuration")
    if path is None:
        path = next((path for path in search_path(program) if os.path.exists(path)), None)
        if path is None:
            return
    elif not os.path.exists(path):
        raise OptionError(f"could not find config file {path}")
    options.configuration = path
    sections = _read_toml(path, environ) if path.endswith(".toml") else _read_ini(path)
    if SECTION not in sections:
        # A file that was found need not be meant for us, and with -s none is needed. But a file
        # given to find the daemon must have the section.
        if "configuration" in given and "serverurl" not in given:
            raise OptionError(f".ini file does not include supervisorctl section (file: {path!r})")
    else:
        _apply_section(options, sections[SECTION], path, environ)
    for section, values in sections.items():
        if section.startswith(PLUGIN_PREFIX):
            options.plugin_sections.append(_plugin(section, values, environ))


def _read_toml(path: str, environ: Mapping[str, str]) -> Sections:
    # Imported here because few configurations are TOML, and reading it is slow.
    from trio_supervisor.cli.ctl.toml import read_toml

    try:
        return read_toml(path, environ)
    except OSError:
        raise OptionError(f"could not read config file {path}") from None
    except ValueError as error:
        raise OptionError(f"config file {path}: {error}") from None


def _read_ini(path: str) -> Sections:
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except OSError:
        raise OptionError(f"could not read config file {path}") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"config file {path} is not UTF-8 text: {error}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    sections = quick_sections(text, SECTION, PLUGIN_PREFIX)
    return _parsed_ini(text, path) if sections is None else sections


def _parsed_ini(text: str, path: str) -> Sections:
    # Imported here because most files are plain enough for the quick reader.
    import configparser

    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(text, path)
    except configparser.Error as error:
        raise OptionError(" ".join(str(error).split())) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _apply_section(
    options: ClientOptions, section: dict[str, str], path: str, environ: Mapping[str, str]
) -> None:
    variables = {f"ENV_{name}": value for name, value in environ.items()}
    with_here = {**variables, "here": os.path.abspath(os.path.dirname(path))}

    def value(key: str, names: dict[str, str]) -> str | None:
        return _expand(section[key], f"{SECTION}.{key}", names) if key in section else None

    url = value("serverurl", with_here)
    if url is not None:
        options.serverurl = url
        if url.startswith("unix://"):
            options.serverurl = "unix://" + _absolute(url.removeprefix("unix://"))
    options.username = value("username", variables)
    options.password = value("password", variables)
    ca, certificate = value("ssl_ca", with_here), value("ssl_certificate", with_here)
    key = value("ssl_key", with_here)
    options.tls.ca = _absolute(ca) if ca else None
    options.tls.certificate = _absolute(certificate) if certificate else None
    options.tls.key = _absolute(key) if key else None
    options.tls.verify = (value("ssl_verify", variables) or "true").lower() not in FALSE
    prompt = value("prompt", variables)
    if prompt is not None:
        options.prompt = prompt
    history = value("history_file", with_here)
    options.history_file = _absolute(history) if history else None


def _plugin(section: str, values: dict[str, str], environ: Mapping[str, str]) -> PluginSection:
    variables = {f"ENV_{name}": value for name, value in environ.items()}
    expanded = {key: _expand(value, f"{section}.{key}", variables) for key, value in values.items()}
    factory = expanded.pop(FACTORY_KEY, None)
    if factory is None:
        raise OptionError(f"section [{section}] does not specify a {FACTORY_KEY}")
    return PluginSection(section.removeprefix(PLUGIN_PREFIX), factory, expanded)


def _expand(text: str, key: str, names: dict[str, str]) -> str:
    """Expand ``%(name)s`` as the format of the file defines it. Raises OptionError."""
    try:
        return text % names
    except KeyError as error:
        # Supervisor adds the names of all environment variables to this message.
        raise OptionError(
            f"Format string '{text}' for '{key}' contains names ({error}) which cannot be expanded"
        ) from None
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"Format string '{text}' for '{key}' is badly formatted: {error}"
        ) from None


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
