"""Names and numbers of signals, the same for files, remote calls and log lines."""

from __future__ import annotations

import re
import signal
from functools import cache

from trio_supervisor.core.config.suggest import suggestion
from trio_supervisor.core.numbers import natural

#: Names the platform gives to numbers that have several; Python prefers others.
_PREFERRED_NAMES = {signal.SIGABRT: "SIGABRT", signal.SIGCHLD: "SIGCHLD", signal.SIGPOLL: "SIGPOLL"}
#: Real-time signals have only two names; the others are counted from these, as ``kill`` does.
_RELATIVE = re.compile(r"RT(MIN|MAX)([+-][0-9]{1,2})?")


@cache  # several lines about each stop name one
def signal_name(number: int) -> str:
    """Return ``SIGTERM`` for 15, and ``signal 40`` for a number without a name."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return _PREFERRED_NAMES.get(known, known.name)


def parse_signal(text: str) -> int:
    """Return the number of a signal: ``HUP``, ``sighup``, ``1`` or ``RTMIN+3``.

    0, which only asks whether there is a process, is accepted. Raises ValueError with two
    arguments: what is wrong, and how to fix it.
    """
    word = text.strip().upper()
    if word.isdecimal():
        number = natural(word)
        if number == 0 or number in signal.valid_signals():
            return number
        raise ValueError(f"value {text!r} is not a valid signal number", "use a name, like TERM")
    name = word.removeprefix("SIG")
    if (relative := _RELATIVE.fullmatch(name)) is not None:
        base = signal.SIGRTMIN if relative[1] == "MIN" else signal.SIGRTMAX
        number = base + int(relative[2] or 0)
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    # Only real signals are members: no SIG_IGN and friends.
    if f"SIG{name}" in signal.Signals.__members__:
        return int(signal.Signals[f"SIG{name}"])
    meant = suggestion(name, [known.name.removeprefix("SIG") for known in signal.Signals])
    hint = "use a name, like TERM" if meant is None else f"did you mean {meant}?"
    raise ValueError(f"value {text!r} is not a valid signal name", hint)
