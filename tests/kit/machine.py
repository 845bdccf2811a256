"""What tests need of the machine: asked for, and skipped with the package or the right it takes."""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import socket
import subprocess
from importlib.metadata import requires

import pytest

#: Program -> the Debian package it is in. ``.ci/run`` installs them.
PACKAGES = {
    "caddy": "caddy",
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "curl": "curl",
    "fish": "fish",
    "jq": "jq",
    "mandoc": "mandoc",
    "nginx": "nginx-light",
    "node": "nodejs",
    "openssl": "openssl",
    "perl": "perl",
    "pg_isready": "postgresql",
    "php": "php-cli",
    "ps": "procps",
    "redis-server": "redis-server",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "zsh": "zsh",
}
#: Options of ``unshare`` for a namespace of pids with its own /proc.
NEW_PIDS = ("--fork", "--pid", "--mount-proc")
#: Where servers are, which are not on the PATH of every user.
PLACES = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
#: Where Debian has the programs of its versions of PostgreSQL.
POSTGRESQL = "/usr/lib/postgresql/*/bin"


def path_of(name: str) -> str:
    """The path of a program. Without it the test is skipped, or fails where CI is set."""
    path = shutil.which(name, path=PLACES)
    if path is None:
        missing = f"there is no {name} (Debian: apt-get install {PACKAGES[name]})"
        if "CI" in os.environ:
            pytest.fail(f"{missing}, which .ci/run installs")
        pytest.skip(missing)
    return path


def postgresql() -> str:
    """The directory of the programs of PostgreSQL, as ``path_of`` a program."""
    path_of("pg_isready")
    return max(glob.glob(POSTGRESQL))


def need_namespaces(*kinds: str) -> None:
    """Skip the test where no namespaces can be made; ``kinds`` are options of ``unshare``."""
    why = _failure("unshare", *kinds, "true")
    if why:
        pytest.skip(
            f"no namespaces can be made here ({why}): run as root with CAP_SYS_ADMIN, "
            "and not in a chroot, where / is no mount point"
        )


def need_tracing() -> None:
    """Skip the test where no process can be traced."""
    why = _failure(path_of("strace"), "-D", "-o", "/dev/null", "true")
    if why:
        pytest.skip(f"no process can be traced here ({why}): run as root with CAP_SYS_PTRACE")


def need_localhost() -> None:
    """Skip the test where the name of this machine's loopback addresses is not known."""
    try:
        socket.getaddrinfo("localhost", None)
    except OSError as error:
        pytest.skip(f"localhost has no address here ({error}): give it a line in /etc/hosts")


def requirements(name: str) -> set[str]:
    """A distribution and all that it requires here, without extras."""
    found = {name}
    for requirement in requires(name) or ():
        match = re.match(r"([A-Za-z0-9._-]+)([^;]*)(?:;(.*))?", requirement)
        assert match is not None
        condition = match[3] or ""
        # Linux and CPython; a requirement for anything else, or an extra, is not for us.
        if not re.search(r"extra|win32|nt\b|!= ?['\"]CPython|python_version <", condition):
            found |= requirements(match[1])
    return found


@functools.cache
def _failure(*command: str) -> str:
    """Why a command fails; empty if it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]}"
    return (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode else ""
