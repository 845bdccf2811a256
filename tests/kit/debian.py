"""A Debian system with systemd as process 1, for commands that change a machine.

Its root is that of this machine, or of ``TRIO_SUPERVISOR_DEBIAN``, under an overlay: whatever is
written disappears at the end. It has namespaces of its own, no network, and none of the services
that this machine starts.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import PATIENCE, eventually
from tests.kit.machine import need_namespaces, requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
#: Names a directory with a Debian root that debootstrap created, instead of this machine's root.
VARIABLE = "TRIO_SUPERVISOR_DEBIAN"
NAMESPACES = ("--cgroup", "--pid", "--ipc", "--uts", "--net", "--fork", "--kill-child")
SYSTEMD = "lib/systemd/systemd"
#: Where the wheels are, in the system.
WHEELS = "/var/lib/wheels"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_FIND_LINKS": WHEELS,
    "PIP_NO_INDEX": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}

#: Mounts the overlay and boots in it until it is switched off. Arguments: an empty directory, the
#: directory with additional files, the lower root.
_MACHINE = """
set -e
work=$1 files=$2 base=$3
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/overlay" "$work/root" "$work/cgroup"
mount -t cgroup2 cgroup2 "$work/cgroup"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/overlay" "$work/root"
cd "$work/root"
rm -rf etc/systemd/system/*.wants etc/rc?.d etc/supervisor opt/trio-supervisor usr/local/share/man
rm -rf usr/local/bin/*supervisor* usr/local/bin/tpidproxy root/.cache
rm -f etc/hostname && echo debian >etc/hostname
: >etc/fstab
cp -R "$files/." .
cgroup=$work/cgroup/trio-supervisor-test-$$
mkdir "$cgroup"
status=$REBOOT
while [ "$status" = "$REBOOT" ]; do
    status=0
    (echo 0 >"$cgroup/cgroup.procs" && exec unshare $NAMESPACES sh -e -c "$BOOT") || status=$?
done
# The kernel reports the end of a process to its parent before the process has left its cgroup.
until find "$cgroup" -depth -type d -exec rmdir {} +; do sleep 0.05; done
"""
#: Runs as process 1 of the system, in its root.
_BOOT = """
mount --bind . . && cd "$PWD"
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    : >dev/$device
    mount --bind /dev/$device dev/$device
done
ln -s /proc/self/fd dev/fd
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
hostname debian
mkdir -p run/old
pivot_root . run/old
cd /
umount -l /run/old
exec env -i container=test /lib/systemd/systemd --unit=multi-user.target --show-status=no
"""
#: How ``unshare`` ends when process 1 has called reboot(2) to restart: as if by SIGHUP.
_REBOOTED = 128 + signal.SIGHUP


@dataclass
class System:
    """A booted system."""

    machine: subprocess.Popen[bytes]
    """The process that holds the mounts."""
    log: Path
    init: int = 0
    """Process 1, as seen from outside."""

    def command(self, text: str, user: str = "root") -> list[str]:
        """Return a command that runs a text in the shell of a user."""
        shell = ["bash", "-euo", "pipefail", "-c", f"cd\n{text}"]
        variables = dict(ENVIRONMENT)
        if user != "root":
            entry = self.run(f"getent passwd {user}").split(":")
            runtime = f"/run/user/{entry[2]}"
            variables |= {"HOME": entry[5], "XDG_RUNTIME_DIR": runtime, "USER": user}
            shell = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *shell]
        settings = [f"{name}={value}" for name, value in variables.items()]
        enter = ["nsenter", f"--target={self.init}", "--mount", "--pid", "--ipc", "--uts"]
        enter += ["--net", "--cgroup"]
        return [*enter, "env", "-i", *settings, *shell]

    def run(self, text: str, *, user: str = "root", status: int | None = 0) -> str:
        """Run a text in a shell and return what it prints on both streams."""
        done = subprocess.run(
            self.command(text, user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        assert status in (None, done.returncode), f"{text}\n{done.stdout}{self.journal()}"
        return done.stdout

    def write(self, path: str, text: str, *, user: str = "root") -> None:
        self.run(f"cat >{path} <<'end-of-file'\n{text}end-of-file\n", user=user)

    def wait_for_boot(self) -> None:
        self.init = eventually(self._process_1, "process 1 of the system")
        state = eventually(self._state, "the end of the boot")
        assert state in ("running", "degraded"), self.log.read_text()

    def reboot(self) -> None:
        before = self.init
        self.run("systemctl reboot", status=None)
        eventually(lambda: self._process_1() not in (0, before), "process 1 of the new boot")
        self.wait_for_boot()

    def journal(self) -> str:
        command = self.command("journalctl --no-pager --lines=50 2>&1")
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout

    def end(self) -> None:
        if self.init:
            with suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        try:
            self.machine.wait(PATIENCE)
        finally:
            self.machine.kill()
            self.machine.wait()

    def _process_1(self) -> int:
        """The child of ``unshare``, once it has become systemd; 0 before."""
        assert self.machine.poll() is None, self.log.read_text()
        for unshare in _children(self.machine.pid):
            for child in _children(unshare):
                with suppress(OSError):
                    if os.readlink(f"/proc/{child}/exe").endswith("/systemd"):
                        return child
        return 0

    def _state(self) -> str:
        """The state of the manager; empty while the system starts."""
        done = subprocess.run(
            self.command("systemctl is-system-running"), capture_output=True, text=True
        )
        state = done.stdout.strip()
        return state if state in ("running", "degraded", "maintenance") else ""


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]
    return []


@contextmanager
def debian(directory: Path) -> Iterator[System]:
    """Boot a system with this checkout in the home directory of root, and what pip needs for it."""
    base = _base()
    work, files = directory / "work", directory / "files"
    work.mkdir()
    _checkout(files / "root" / "trio-supervisor")
    wheels(files / WHEELS.lstrip("/"), ("trio-supervisor", "hatchling", "supervisor"))
    log = directory / "boot.log"
    variables = {
        "PATH": ENVIRONMENT["PATH"],
        "BOOT": _BOOT,
        "NAMESPACES": " ".join(("--mount", *NAMESPACES)),
        "REBOOT": str(_REBOOTED),
    }
    with log.open("wb") as output:
        machine = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", _MACHINE, "machine", work, files, base],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=variables,
        )
    system = System(machine, log)
    try:
        system.wait_for_boot()
        yield system
    finally:
        system.end()


def _base() -> Path:
    """The lower root. Skip the test where no system can be booted."""
    need_namespaces("--mount", *NAMESPACES)
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]).resolve(strict=True)
    if not Path("/etc/debian_version").exists():
        pytest.skip(f"this is no Debian: set {VARIABLE} (see CONTRIBUTING.md)")
    if not Path("/", SYSTEMD).exists():
        pytest.skip("there is no systemd (Debian: apt-get install systemd)")
    command = ["python3", "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]
    if subprocess.run(command, env=ENVIRONMENT, capture_output=True).returncode:
        pytest.skip("there is no python3 with venv (Debian: apt-get install python3 python3-venv)")
    return Path("/")


def _checkout(target: Path) -> None:
    """Copy what an installation from a checkout reads."""
    target.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    for name in ("trio_supervisor", "docs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


def wheels(directory: Path, names: Iterable[str]) -> None:
    """Pack distributions that are installed here, and what they require, as wheels again."""
    directory.mkdir(parents=True)
    needed: set[str] = set()
    for name in names:
        needed |= requirements(name)
    for name in needed - {"trio-supervisor"}:
        found = distribution(name)
        paths = [str(path) for path in found.files or ()]
        inside = [path for path in paths if not re.match(r"\.\.|/|.*__pycache__", path)]
        (info,) = {path.partition("/")[0] for path in inside if ".dist-info/" in path}
        assert "Tag: py3-none-any" in (found.read_text("WHEEL") or ""), name
        wheel = directory / f"{info.removesuffix('.dist-info')}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in inside:
                if path != f"{info}/RECORD":
                    archive.write(str(found.locate_file(path)), path)
            archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in inside))
