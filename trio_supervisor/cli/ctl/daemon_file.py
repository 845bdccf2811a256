"""Reads where the daemon listens, and its pidfile, from the daemon's sections of the configuration.

For hints only: errors of reading are ignored.
"""

from __future__ import annotations

import configparser
import os
from contextlib import suppress

from trio_supervisor.cli.recorded_pid import recorded_pid


class DaemonFile:
    """The values of an INI file; for None and for a TOML file all are empty."""

    def __init__(self, path: str | None) -> None:
        self.socket = ""
        """The path of the unix socket; empty if unknown."""
        self.pidfile = ""
        if path is None or path.endswith(".toml"):
            return
        parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
        with suppress(OSError, ValueError, configparser.Error):
            parser.read(path, encoding="utf-8")
        here = os.path.dirname(os.path.abspath(path))
        self.socket = _value(parser, here, "unix_http_server", "file")
        self.pidfile = _value(parser, here, "supervisord", "pidfile")

    def about_pid(self) -> list[str]:
        """Describe whether the process named by the pidfile exists."""
        if not self.pidfile:
            return []
        try:
            pid = recorded_pid(self.pidfile)
        except FileNotFoundError:
            return [f"there is no pidfile {self.pidfile}: that daemon is not running"]
        except (OSError, ValueError):
            return []
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return [f"{self.pidfile} names pid {pid}, which does not exist any more"]
        except OSError:
            pass  # not permitted, so the process exists
        return [f"{self.pidfile} names pid {pid}, which is running"]


def _value(parser: configparser.RawConfigParser, here: str, section: str, key: str) -> str:
    """Return a path of the file; empty if it is missing, relative or cannot be expanded."""
    text = parser.get(section, key, fallback="")
    names = {f"ENV_{name}": value for name, value in os.environ.items()} | {"here": here}
    try:
        path = os.path.expanduser(text % names)
    except (KeyError, ValueError, TypeError):
        return ""
    # A relative path depends on the directory in which the daemon was started.
    return path if os.path.isabs(path) else ""
