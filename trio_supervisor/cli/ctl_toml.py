"""What the client reads of a ``tsupervisord.toml``, in the shape of the INI form.

Imported only when the configuration is TOML: the client starts fast.
"""

from __future__ import annotations

import os
import re
import tomllib

TYPE_CHECKING = False  # typing's flag without importing typing, which is slow (technique 8)
if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPANSION = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^{}]*))?\})")


def read_toml(path: str, environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The sections ``[supervisorctl]`` and ``[ctlplugin:x]``. Raises OSError, ValueError."""
    with open(path, "rb") as file:
        data = tomllib.load(file)
    names = {f"ENV_{name}": value for name, value in environ.items()}
    names["here"] = os.path.abspath(os.path.dirname(path))
    sections = {f"ctlplugin:{name}": table for name, table in data.get("ctlplugin", {}).items()}
    if "supervisorctl" in data:
        sections["supervisorctl"] = data["supervisorctl"]
    return {
        section: {
            key.lower(): _expanded(str(value), key, names).replace("%", "%%")
            for key, value in table.items()
        }
        for section, table in sections.items()
    }


def _expanded(text: str, key: str, names: dict[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        value = names.get(match[2], match[3])
        if value is None:
            raise ValueError(f"{key} contains the unknown name {match[2]!r}")
        return value

    return _EXPANSION.sub(replaced, text)
