"""System calls of the real daemon that fail as in an old kernel or a sandbox, or are slow."""

from __future__ import annotations

from tests.kit.machine import need_tracing


def failing(call: str, error: str) -> list[str]:
    """What stands before a command so that a system call fails in it and all its children.

    The command keeps its pid; strace runs beside it.
    """
    return _injecting(call, f"error={error}")


def slow(call: str, seconds: float) -> list[str]:
    """The same for a system call that takes its time."""
    return _injecting(call, f"delay_enter={seconds * 1e6:.0f}")


def killed_at(call: str, number: int) -> list[str]:
    """The same for a process that is killed in its main thread's system call of that number."""
    need_tracing()
    inject = f"inject={call}:signal=KILL:when={number}"
    return ["strace", "-D", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]


def _injecting(call: str, what: str) -> list[str]:
    need_tracing()
    inject = f"inject={call}:{what}"
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
