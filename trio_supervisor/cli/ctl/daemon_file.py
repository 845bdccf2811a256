"""What the daemon's own sections of the configuration say about where it can be found.

For hints only: a file that cannot be read says nothing.
"""

from __future__ import annotations

import configparser
import os
from contextlib import suppress

from trio_supervisor.cli.recorded_pid import recorded_pid


class DaemonFile:
    """``path`` is an INI file; of None, and of a TOML file, nothing is known."""

    def __init__(self, path: str | None) -> None:
        self.socket = ""
        """Path of the control socket; empty if unknown."""
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
        """Whether the daemon that wrote the pidfile lives."""
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
            pass  # it belongs to somebody else, so it lives
        return [f"{self.pidfile} names pid {pid}, which is running"]


def _value(parser: configparser.RawConfigParser, here: str, section: str, key: str) -> str:
    """A path, absolute; empty if it is not there or cannot be expanded."""
    text = parser.get(section, key, fallback="")
    names = {f"ENV_{name}": value for name, value in os.environ.items()} | {"here": here}
    try:
        path = os.path.expanduser(text % names)
    except (KeyError, ValueError, TypeError):
        return ""
    # Relative to where the daemon was started, which nobody knows here.
    return path if os.path.isabs(path) else ""
