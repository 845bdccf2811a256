"""``tsupervisord --convert``: an INI configuration as TOML, on standard output."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import tomli_w

from trio_supervisor.core.build import build
from trio_supervisor.core.config import Config
from trio_supervisor.core.convert import to_tables
from trio_supervisor.core.errors import ConfigError
from trio_supervisor.core.ini import Document
from trio_supervisor.core.toml import read_toml
from trio_supervisor.runtime.load import find_config, is_toml, read_document, surroundings

#: The converted text does not mean the same; it is printed all the same, with comments.
EXIT_DIFFERENT = 1


def convert(configuration: str | None, program: str) -> int:
    """Print the file and its includes as one TOML document; returns the exit code.

    The result is read again and compared: a difference is told on standard error. Raises
    ConfigError.
    """
    origin = os.getcwd()
    path = find_config(program, origin) if configuration is None else configuration
    if is_toml(path):
        raise ConfigError(f"{path} is TOML already")
    around = surroundings(origin)
    here = os.path.dirname(os.path.join(origin, path))
    document, _ = read_document(path, around, here)
    original = build(document, around, overrides={}, here=here)
    text, lost = toml_text(document)
    again = Document()
    read_toml(text, file="converted", here=here, into=again)
    converted = build(again, around, overrides={}, here=here)
    sys.stdout.write(text)
    for line in lost:
        print(f"not converted: {line}", file=sys.stderr)
    different = differences(original, converted)
    for name in different:
        print(f"{name} does not mean the same: compare the two files there", file=sys.stderr)
    return EXIT_DIFFERENT if different else 0


def toml_text(document: Document) -> tuple[str, list[str]]:
    """The text, with comments about what has no counterpart, and those alone."""
    tables, lost = to_tables(document)
    comments = "".join(f"# not converted: {' '.join(line.split())}\n" for line in lost)
    return comments + tomli_w.dumps(tables, multiline_strings=False), lost


def differences(original: Config, converted: Config) -> list[str]:
    """The parts of two configurations that are not equal, by name."""
    original, converted = meaning(original), meaning(converted)
    names = [
        name
        for name in ("daemon", "servers", "rpcinterfaces")
        if getattr(original, name) != getattr(converted, name)
    ]
    ours = {group.name: group for group in converted.groups}
    names += [f"group {group.name}" for group in original.groups if ours.get(group.name) != group]
    return names


def meaning(config: Config) -> Config:
    """A configuration without what only tells where it came from."""
    servers = tuple(replace(server, section="") for server in config.servers)
    return replace(config, messages=(), path=None, servers=servers)
