"""Parsing of numbers in text from clients, servers, command lines and files of other programs.

Imports nothing, because the command-line client imports this module.
"""

#: Larger numbers are mistakes; they could not be added to a float or passed to the kernel.
LARGEST = 2**63 - 1
#: Digits that always fit into LARGEST. ``int`` raises for some thousand digits.
MAX_DIGITS = 18
#: Largest value of the C type ``pid_t``.
LARGEST_PID = 2**31 - 1
#: About thirty years. ``select`` and sockets raise OverflowError for much larger values.
LONGEST_SECONDS = 1e9
#: Bytes that are read of a pidfile.
LONGEST_PID = 100


def whole_number(text: str) -> int:
    """Parse an integer of ASCII digits and at most 64 bits, else as ``int`` does.

    Raises ValueError.
    """
    if not text.isascii():  # ``int`` accepts the digits of all scripts
        raise ValueError("not a whole number")
    try:
        number = int(text)
    except ValueError:  # its text may mention a limit of Python
        raise ValueError("not a whole number") from None
    return bounded(number)


def bounded(number: int) -> int:
    """Return the number. Raises ValueError if it has more than 64 bits."""
    if abs(number) > LARGEST:
        raise ValueError("a number of more than 64 bits")
    return number


def natural(text: str) -> int | None:
    """Parse a number of ASCII digits only; None for anything else, or for too many digits."""
    fits = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if fits else None


def process_id(text: str) -> int:
    """Parse a process id, as in a pidfile. Raises ValueError if no process can have it."""
    number = natural(text.strip())
    if number is None or not 0 < number <= LARGEST_PID:  # others mean groups to kill(2)
        raise ValueError("not a process id")
    return number


def seconds(text: str) -> float:
    """Parse a time to wait, in seconds; longer ones become LONGEST_SECONDS.

    Raises ValueError for text that is not a finite number from 0 on.
    """
    number = float(text) if text.isascii() else float("nan")
    if not 0 <= number < float("inf"):  # NaN compares false with everything
        raise ValueError("not a number of seconds")
    return min(number, LONGEST_SECONDS)


def mebibytes(number: float) -> str:
    """Return a number of bytes as people read it."""
    return f"{number / 1024**2:.1f} MiB"
