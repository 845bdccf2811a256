"""System calls of the real daemon that fail as in an old kernel or a sandbox."""

from __future__ import annotations

from tests.kit.machine import need_tracing


def failing(call: str, error: str) -> list[str]:
    """What stands before a command so that a system call fails in it and all its children.

    The command keeps its pid; strace runs beside it.
    """
    need_tracing()
    inject = f"inject={call}:error={error}"
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
