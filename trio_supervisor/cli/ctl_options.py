"""The command line and the configuration of ``tsupervisorctl`` (ctl.md 1): who to talk to, and how.

Reads files and the environment once; opens no connection.
"""

from __future__ import annotations

import getopt
import os

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Mapping
    from configparser import RawConfigParser
    from typing import Any

DEFAULT_URL = "http://localhost:9001"
SECTION = "supervisorctl"
PLUGIN_PREFIX = "ctlplugin:"
FACTORY_KEY = "supervisor.ctl_factory"

#: short, long, argument in the help, explanation. ``history-file`` is the spelling that the
#: reference documents and refuses (D-13); it is normalised before parsing.
FLAGS = (
    ("c", "configuration", "FILE", "configuration file; without it the usual places are tried"),
    ("s", "serverurl", "URL", f"where the daemon listens (default {DEFAULT_URL})"),
    ("u", "username", "NAME", "user name to log in with"),
    ("p", "password", "TEXT", "password to log in with"),
    ("r", "history_file", "FILE", "keep the lines typed in the shell here"),
    ("i", "interactive", "", "ask before shutdown and reload, and for a missing password"),
    ("h", "help", "", "show this text (also -?)"),
)


class OptionError(Exception):
    """The command line or the configuration is wrong; the text goes to people (exit 2)."""


class Options:
    """What the command line and the file say, merged."""

    __slots__ = (
        "help",
        "history_file",
        "interactive",
        "line",
        "password",
        "plugin_sections",
        "plugins",
        "prompt",
        "serverurl",
        "username",
    )

    def __init__(self) -> None:
        self.help = False
        self.interactive = False
        self.line: str | None = None
        """The action with its arguments; None opens the shell."""
        self.serverurl = DEFAULT_URL
        self.username: str | None = None
        self.password: str | None = None
        self.prompt = "supervisor"
        self.history_file: str | None = None
        self.plugin_sections: list[PluginSection] = []
        self.plugins: list[Any] = []
        """The plugins themselves, the default one first; for other plugins to look at."""


class PluginSection:
    """One ``[ctlplugin:NAME]`` section."""

    __slots__ = ("factory", "name", "options")

    def __init__(self, name: str, factory: str, options: dict[str, str]) -> None:
        self.name = name
        self.factory = factory
        self.options = options


def read_options(argv: list[str], environ: Mapping[str, str]) -> Options:
    """Everything from ``argv`` (program first), the file it names or that is found, the defaults.

    Raises OptionError.
    """
    given, words = _parse(argv[1:])
    options = Options()
    if "help" in given:
        options.help = True
        return options
    options.interactive = "interactive" in given
    if words:
        # One word may hold several: automation passes "signal HUP" as one (K-12).
        options.line = " ".join(words)
    _apply_file(options, given, argv[0], environ)
    options.serverurl = given.get("serverurl", options.serverurl)
    options.username = given.get("username", options.username)
    options.password = given.get("password", options.password)
    options.history_file = given.get("history_file", options.history_file)
    return options


def usage(program: str) -> str:
    """The text of ``--help``."""
    lines = [
        f"usage: {program} [options] [action [argument ...]]",
        "",
        "Looks at and controls the programs that a running tsupervisord looks after.",
        "Without an action it opens a shell that reads actions.",
        "",
        "options:",
    ]
    for short, long, argument, text in FLAGS:
        spellings = f"-{short}, --{long}"
        lines.append(f"  {spellings + ' ' + argument:<27} {text}")
    lines += [
        "",
        "examples:",
        f"  {program} status             every program and how it is",
        f"  {program} restart web:*      stop and start every process of the group web",
        f"  {program} help               the actions; help ACTION tells about one",
    ]
    return "\n".join(lines)


def _parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Option name to value (empty for flags), and the words after the options."""
    short = "?" + "".join(flag[0] + (":" if flag[2] else "") for flag in FLAGS)
    long = [flag[1] + ("=" if flag[2] else "") for flag in FLAGS]
    spelled = [
        "--history_file" + word.removeprefix("--history-file")
        if word == "--history-file" or word.startswith("--history-file=")
        else word
        for word in arguments
    ]
    try:
        pairs, words = getopt.getopt(spelled, short, long)
    except getopt.GetoptError as error:
        raise OptionError(str(error)) from None
    names = {f"-{flag[0]}": flag[1] for flag in FLAGS}
    names |= {f"--{flag[1]}": flag[1] for flag in FLAGS}
    names["-?"] = "help"
    given: dict[str, str] = {}
    for spelling, value in pairs:
        name = names[spelling]
        if name == "help":
            return {"help": ""}, []
        if name in given:
            raise OptionError(f"conflicting command line option '{spelling}'")
        if name == "serverurl" and not _is_url(value):
            raise OptionError(
                f"invalid value for {spelling} '{value}': value '{value}' is not a URL"
            )
        given[name] = value
    return given, words


def _is_url(text: str) -> bool:
    """A scheme plus a host or a path; whether anybody speaks the scheme shows at the first call."""
    scheme, colon, rest = text.partition(":")
    place = rest.removeprefix("//").split("?")[0].split("#")[0]
    return bool(colon and scheme[:1].isalpha() and scheme.isascii() and place)


def _search_path(program: str) -> list[str]:
    """Where a configuration may be, first existing one wins (config.md 2.2)."""
    prefix = os.path.dirname(os.path.dirname(program))
    return [
        os.path.join(prefix, "etc", "supervisord.conf"),
        os.path.join(prefix, "supervisord.conf"),
        "supervisord.conf",
        os.path.join("etc", "supervisord.conf"),
        "/etc/supervisord.conf",
        "/etc/supervisor/supervisord.conf",
        "tsupervisord.toml",
        os.path.join("etc", "tsupervisord.toml"),
        "/etc/tsupervisord.toml",
    ]


def _apply_file(
    options: Options, given: dict[str, str], program: str, environ: Mapping[str, str]
) -> None:
    path = given.get("configuration")
    if path is None:
        path = next((path for path in _search_path(program) if os.path.exists(path)), None)
        if path is None:
            return
    elif not os.path.exists(path):
        raise OptionError(f"could not find config file {path}")
    parser = _read_toml(path, environ) if path.endswith(".toml") else _read_ini(path)
    if not parser.has_section(SECTION):
        # A file that was searched for may belong to anybody, and -s says all there is to say
        # (D-14); but a file given for its [supervisorctl] must have it.
        if "configuration" in given and "serverurl" not in given:
            raise OptionError(".ini file does not include supervisorctl section")
    else:
        _apply_section(options, dict(parser.items(SECTION)), path, environ)
    for section in parser.sections():
        if section.startswith(PLUGIN_PREFIX):
            options.plugin_sections.append(_plugin(section, dict(parser.items(section)), environ))


def _read_toml(path: str, environ: Mapping[str, str]) -> RawConfigParser:
    # Imported here because few configurations are TOML, and reading it is slow (technique 8).
    from trio_supervisor.cli.ctl_toml import read_toml

    try:
        return read_toml(path, environ)
    except OSError:
        raise OptionError(f"could not read config file {path}") from None
    except ValueError as error:
        raise OptionError(f"config file {path}: {error}") from None


def _read_ini(path: str) -> RawConfigParser:
    # Imported here because a run without a file has no use for it (technique 8).
    import configparser

    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        with open(path, encoding="utf-8-sig") as file:
            parser.read_file(file, path)
    except OSError:
        raise OptionError(f"could not read config file {path}") from None
    except UnicodeDecodeError as error:
        raise OptionError(f"config file {path} is not UTF-8 text: {error}") from None
    except configparser.Error as error:
        raise OptionError(" ".join(str(error).split())) from None  # D-15
    return parser


def _apply_section(
    options: Options, section: dict[str, str], path: str, environ: Mapping[str, str]
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
    """Old-style percent formatting, the file's documented dialect (config.md 5)."""
    try:
        return text % names
    except KeyError as error:
        # The reference goes on with the name of every environment variable (D-16).
        raise OptionError(
            f"Format string '{text}' for '{key}' contains names ({error}) which cannot be expanded"
        ) from None
    except (ValueError, TypeError) as error:
        raise OptionError(
            f"Format string '{text}' for '{key}' is badly formatted: {error}"
        ) from None


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
