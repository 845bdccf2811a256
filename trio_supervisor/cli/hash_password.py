"""``tsupervisord --hash-password``: makes of a password what may stand in a configuration.

The password is read from the terminal without being shown, or from a pipe; never from the command
line, which every user of the machine can see.
"""

from __future__ import annotations

import getpass
import os
import sys

from trio_supervisor.core.config.passwords import SALT_BYTES, hash_password
from trio_supervisor.core.errors import SupervisorError


class NoPassword(SupervisorError):
    """Nothing usable was typed or piped in."""


def print_hash() -> int:
    """Ask for a password and print its form for ``password=``. Raises NoPassword."""
    password = _typed() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise NoPassword("the password is empty")
    print(hash_password(password, os.urandom(SALT_BYTES)))
    return 0


def _typed() -> str:
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Again: ")
    except (EOFError, KeyboardInterrupt):
        raise NoPassword("no password was typed") from None
    if password != again:
        raise NoPassword("the two passwords differ")
    return password
