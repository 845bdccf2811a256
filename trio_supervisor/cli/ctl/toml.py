"""Reads the client's sections of a ``tsupervisord.toml``, in the form that INI files have.

Imported only if the configuration is TOML, because tomllib is slow to import.
"""

from __future__ import annotations

import os
import re
import tomllib

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    from collections.abc import Mapping

#: ``$$``, ``${name}`` or ``${name:-default}``; group 4 is any other dollar sign.
_EXPANSION = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^{}]*))?\}|())")


def read_toml(path: str, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Read the sections ``[supervisorctl]`` and ``[ctlplugin:x]``. Raises OSError, ValueError."""
    with open(path, "rb") as file:
        try:
            data = tomllib.load(file)
        except RecursionError:
            raise ValueError("arrays or tables are nested too deeply") from None
    names = {f"ENV_{name}": value for name, value in environ.items()}
    names["here"] = os.path.abspath(os.path.dirname(path))
    plugins = _table(data.get("ctlplugin", {}), "ctlplugin")
    sections = {f"ctlplugin:{name}": table for name, table in plugins.items()}
    if "supervisorctl" in data:
        sections["supervisorctl"] = data["supervisorctl"]
    return {
        section: {
            key.lower(): _expanded(_text(value, key), key, names).replace("%", "%%")
            for key, value in _table(table, section).items()
        }
        for section, table in sections.items()
    }


def _table(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a table: write [{name.replace(':', '.')}]")
    return value


def _text(value: object, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int)):
        raise ValueError(f"{key} must be a text or a whole number")
    return str(value)


def _expanded(text: str, key: str, names: dict[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        if match[2] is None:
            raise ValueError(f"{key} has a dollar sign that begins no ${{name}}: write $$")
        value = names.get(match[2], match[3])
        if value is None:
            raise ValueError(f"{key} contains the unknown name {match[2]!r}")
        return value

    return _EXPANSION.sub(replaced, text)
