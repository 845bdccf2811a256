"""Names of programs and groups."""

from __future__ import annotations

#: What may not occur in the name of a program, a group, or a raw process_name.
FORBIDDEN = " :/"


def why_invalid(name: str) -> str | None:
    """Return why a text cannot be the name of a program or group; None means that it can."""
    if not name:
        return "it is empty"
    bad = next((character for character in name if character in FORBIDDEN), None)
    return None if bad is None else f"{name!r} because of character: {bad!r}"


def full_name(process: str, group: str) -> str:
    """The name under which clients know a process."""
    return process if process == group else f"{group}:{process}"
