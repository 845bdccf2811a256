"""Numbers in text from outside: clients, servers, command lines, files of other programs.

Imports nothing, because the command-line client starts with it.
"""

#: Larger numbers cannot be what anybody means, and cannot be added to a float or given to the
#: kernel.
LARGEST = 2**63 - 1
#: As many as fit into LARGEST; ``int`` raises for some thousand.
MAX_DIGITS = 18
#: Of the C type ``pid_t``.
LARGEST_PID = 2**31 - 1
#: Some thirty years; ``select`` and sockets raise OverflowError for much more.
LONGEST_SECONDS = 1e9
#: Characters of a pidfile that are worth reading.
LONGEST_PID = 100


def whole_number(text: str) -> int:
    """Read a number as ``int`` does, of ASCII digits only and of at most 64 bits.

    Raises ValueError.
    """
    if not text.isascii():  # ``int`` reads the digits of every script
        raise ValueError("not a whole number")
    try:
        number = int(text)
    except ValueError:  # its text may be about a limit of Python's
        raise ValueError("not a whole number") from None
    return bounded(number)


def bounded(number: int) -> int:
    """The number itself. Raises ValueError if it has more than 64 bits."""
    if abs(number) > LARGEST:
        raise ValueError("a number of more than 64 bits")
    return number


def natural(text: str) -> int | None:
    """The number that ASCII digits alone make; None for anything else, or too many digits."""
    fits = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if fits else None


def process_id(text: str) -> int:
    """The process id in a pidfile. Raises ValueError if no single process can have it."""
    number = natural(text.strip())
    if number is None or not 0 < number <= LARGEST_PID:  # 0 and less would mean whole groups
        raise ValueError("not a process id")
    return number


def seconds(text: str) -> float:
    """A time to wait, in seconds, at most LONGEST_SECONDS.

    Raises ValueError for what is no finite number of seconds.
    """
    number = float(text) if text.isascii() else float("nan")
    if not 0 <= number < float("inf"):  # NaN compares false with everything
        raise ValueError("not a number of seconds")
    return min(number, LONGEST_SECONDS)
