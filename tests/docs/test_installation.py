"""The README and the installation guide, followed word for word on a Debian system with systemd."""

from __future__ import annotations

import re
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.kit.daemon import eventually
from tests.kit.debian import System, debian
from tests.kit.docs import README, Step, shows, steps
from tests.kit.root import needs_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = "installation.md"
UNIT = "/etc/systemd/system/tsupervisord.service"
OF_A_USER = "A daemon of your own user"
OWN_CONFIG = "~/.config/supervisor/supervisord.conf"
#: Supervisor's unit, as Debian has it.
OTHER_UNIT = """\
[Service]
RuntimeDirectory=supervisor
ExecStart=/opt/supervisor/bin/supervisord -n -c /etc/supervisor/supervisord.conf
ExecStop=/opt/supervisor/bin/supervisorctl shutdown
ExecReload=/opt/supervisor/bin/supervisorctl -c /etc/supervisor/supervisord.conf reload
KillMode=process
[Install]
WantedBy=multi-user.target
"""
DEMO = """
set -m
tsupervisord --demo >/tmp/demo.log 2>&1 &
until grep -q 'heard: web .* RUNNING' /tmp/demo.log; do sleep 0.05; done
kill -INT $!
wait $!
grep 'nothing is left behind' /tmp/demo.log
"""

pytestmark = needs_root


#: Seconds for a whole page: it installs the package several times and boots twice.
LONG = 400


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    signal.alarm(LONG)  # instead of the time that conftest.py allows
    with debian(tmp_path) as booted:
        yield booted


def followed(system: System, step: Step, user: str = "root") -> None:
    """Do what a step says, as a reader does, and compare what it shows."""
    if step.language == "sh":
        system.run(step.text, user=user)
    elif step.file:
        system.write(step.file, step.text, user=user)
    elif step.language == "console":
        for command, output in step.commands:
            eventually(partial(prints, system, command, output), f"{command}: {output}")
    else:
        ((command,),) = [re.findall(r"`([^`]*)`, shows:$", step.introduction.replace("\n", " "))]
        eventually(lambda: is_in(step.text, system.run(command)), f"{command}: {step.text}")


def prints(system: System, command: str, output: str) -> bool:
    return shows(output, system.run(command))


def is_in(shown: str, printed: str) -> bool:
    """Whether every line that the page shows is printed; systemd counts time where it can."""
    printed_lines = printed.splitlines()
    return all(
        any(shows(simple(line), simple(other)) for other in printed_lines)
        for line in shown.splitlines()
        if "CPU:" not in line
    )


def simple(line: str) -> str:
    return re.sub(r"; \d+\w+ ago|python3[.\d]*", "", re.sub(r" since .*", " since", line))


def ready_for_the_switch(system: System) -> None:
    """Supervisor instead of this package's daemon, with the same configuration."""
    system.run("systemctl disable --now tsupervisord")
    pip = "/opt/trio-supervisor/bin/pip --python /opt/supervisor"
    system.run(f"python3 -m venv --without-pip /opt/supervisor && {pip} install -q supervisor")
    system.write("/etc/systemd/system/supervisor.service", OTHER_UNIT)
    system.run("systemctl daemon-reload && systemctl enable --now supervisor")
    client = "/opt/supervisor/bin/supervisorctl status"
    eventually(lambda: "RUNNING" in system.run(client, status=None), "Supervisor")


def the_clock(system: System) -> str:
    return system.run("tsupervisorctl status clock", status=None)


def test_the_installation_guide(system: System) -> None:
    parts: dict[str, list[Step]] = {}
    for step in steps(GUIDE):
        parts.setdefault(step.section, []).append(step)
    del parts[OF_A_USER]

    for section in ("Install the package", "User, directories, configuration", "The service"):
        for step in parts.pop(section):
            followed(system, step)
    assert "no such" not in system.run("if command -v man; then man -w tsupervisord; fi")
    assert system.run("stat -c '%a %G' /run/supervisor/supervisor.sock") == "770 supervisor\n"
    for step in parts.pop("The first program"):
        followed(system, step)

    system.reboot()
    eventually(lambda: "RUNNING" in the_clock(system), "the program after a reboot")

    check, there, back = parts.pop("Next to Supervisor, and the switch")
    ready_for_the_switch(system)
    followed(system, check)
    warnings = system.run(check.text)
    assert "0 errors" in warnings
    assert "runs already" in warnings
    followed(system, there)
    eventually(lambda: "RUNNING" in the_clock(system), "the program after the switch")
    assert "RUNNING" in system.run("/opt/supervisor/bin/supervisorctl status clock")
    followed(system, back)
    other = "/opt/supervisor/bin/supervisorctl version"
    eventually(lambda: system.run(other, status=None) == "4.3.0\n", "Supervisor again")
    followed(system, there)

    for step in parts.pop("Upgrade"):
        followed(system, step)
    eventually(lambda: "RUNNING" in the_clock(system), "the program after the upgrade")

    rotation, now = parts.pop("Log rotation")
    followed(system, rotation)
    if "rotate" in system.run("command -v logrotate || true"):
        system.run("touch /var/log/supervisor/clock.log.1 && rm /var/log/supervisor/clock.log.1")
        followed(system, now)
        assert "clock.log.1" in system.run("ls /var/log/supervisor")
    else:
        system.run("mv /var/log/supervisor/clock.log /var/log/supervisor/clock.log.1")
        (postrotate,) = re.findall(r"postrotate\n(.*)\n *endscript", rotation.text)
        system.run(postrotate)
    size = "stat -c %s /var/log/supervisor/clock.log"
    eventually(lambda: system.run(size, status=None).strip() not in ("", "0"), "lines in a new log")

    for step in parts.pop("Several daemons"):
        followed(system, step)
    assert "RUNNING" in the_clock(system)
    assert not parts


def test_a_daemon_of_an_ordinary_user(system: System) -> None:
    install, commands, _ = steps(GUIDE)[:3]
    followed(system, install)
    system.run(commands.text.splitlines()[0])
    system.run("useradd --create-home --shell /bin/bash reader")
    lingering = system.run("loginctl enable-linger reader 2>&1 || true")
    if lingering:
        pytest.skip(
            f"no session of a user ({lingering.strip()}; Debian: apt-get install dbus-user-session"
            " libpam-systemd)"
        )
    uid = system.run("id -u reader").strip()
    eventually(
        lambda: system.run(f"systemctl is-active user@{uid}", status=None) == "active\n",
        "the service manager of the user",
    )
    for step in steps(GUIDE):
        if step.section == OF_A_USER:
            followed(system, step, user="reader")
    status = system.run("systemctl --user is-active tsupervisord", user="reader")
    assert status == "active\n"
    system.reboot()
    running = f"tsupervisorctl -c {OWN_CONFIG} version"
    eventually(
        lambda: "+trio" in system.run(running, user="reader", status=None), "the daemon after boot"
    )


def test_the_readme(system: System) -> None:
    shell = [step for step in steps(README) if step.language == "sh"]
    packages, install, wheel, activate, demo, links, _ = shell  # the last one runs these tests
    assert demo.text == "tsupervisord --demo\n"
    text = [packages, install, wheel, activate]
    session = "cd trio-supervisor\n" + "".join(step.text for step in text)
    man = "if command -v man; then man -w tsupervisord tsupervisorctl tsupervisord.conf; fi\n"
    printed = system.run(session + man + DEMO + links.text)
    assert "demo: everything is stopped, nothing is left behind\n" in printed
    assert "usage: supervisorctl " in system.run("supervisorctl --help")
    # A wheel is installed elsewhere.
    wheel_file = "trio-supervisor/dist/trio_supervisor-*.whl"
    pip = "trio-supervisor/.venv/bin/pip --python /opt/elsewhere"
    elsewhere = f"python3 -m venv --without-pip /opt/elsewhere && {pip} install -q {wheel_file}"
    assert system.run(f"{elsewhere} && /opt/elsewhere/bin/tsupervisord --version")
