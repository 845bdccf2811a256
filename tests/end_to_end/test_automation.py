"""What configuration management and scripts make of our client's output.

Each decoder does in a few lines what the named program does with the output, and fails where that
program fails. One daemon serves them all, through a program named ``supervisorctl``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.kit.ctl import Ran, install, run
from tests.kit.daemon import Daemon, daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = """\
[program:app]
command=/bin/sh -c "trap 'echo reloaded' HUP; while :; do sleep 0.05; done"
startsecs=0
killasgroup=true
stopwaitsecs=1
[program:worker]
command=/bin/sleep 1000
process_name=%(program_name)s_%(process_num)02d
numprocs=3
startsecs=0
[program:manual]
command=/bin/sleep 1000
startsecs=0
autostart=false
[program:slow]
command=/bin/sleep 1000
startsecs=1000
[program:flop]
command=/bin/false
startretries=0
[program:again]
command=/bin/false
startretries=1000
[program:once]
command=/bin/true
startsecs=0
autorestart=false
"""
EXTRA = "[program:extra]\ncommand=/bin/sleep 1000\nstartsecs=0\n"
STATES = {
    *("STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"),
}


class Site(NamedTuple):
    daemon: Daemon
    program: str

    def ctl(self, *words: str, stdin: str = "") -> Ran:
        """As automation does it: a narrow locale, everything on the command line."""
        command = [self.program, "-c", str(self.daemon.directory / "c.conf"), *words]
        return run(command, stdin=stdin, LANG="C", LC_ALL="C", LC_MESSAGES="C")

    def sh(self, script: str) -> Ran:
        command = f"{self.program} -c {self.daemon.directory / 'c.conf'}"
        return run(["/bin/sh", "-c", script.replace("supervisorctl", command)])

    def configure(self, more: str = "") -> None:
        path = self.daemon.directory / "c.conf"
        path.write_text(path.read_text().replace(EXTRA, "") + more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("automation")
    with daemon(directory, PROGRAMS) as running:
        for name in ("app", "worker:worker_00", "worker:worker_01", "worker:worker_02"):
            running.wait_for(name, "RUNNING")
        running.wait_for("flop", "FATAL")
        running.wait_for("once", "EXITED")
        yield Site(running, install(directory / "bin", "supervisorctl"))


# Ansible, community.general.supervisorctl


class Ansible:
    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._is_group = name.endswith(":")
        self.name = name.rstrip(":")

    def _run(self, command: str, name: str = "") -> Ran:
        # The module joins its words; "signal USR1" is one of them.
        return self._site.ctl(command, *([name] if name else []))

    def matched(self) -> list[tuple[str, str]]:
        """The processes of this name or group, and their states."""
        found = []
        for line in self._run("status").out.splitlines():
            fields = [field for field in line.split(" ") if field != ""]
            process, state = fields[0], fields[1]  # an empty line is an IndexError
            if self._is_group:
                if ":" not in process or process.split(":")[0] != self.name:
                    continue
            elif process != self.name:
                continue
            found.append((process, state))
        return found

    def act(self, command: str, word: str) -> None:
        """Do it to every process, and look for the line that tells of it."""
        for process, _ in self.matched():
            ran = self._run(command, process)
            assert ran.status == 0, ran
            assert f"{process}: {word}" in ran.out

    def group(self, command: str, line: str) -> None:
        assert self._run("reread").status == 0
        ran = self._run(command, self.name)
        assert ran.status == 0, ran
        assert f"{self.name}: {line}" in ran.out


def test_ansible(site: Site) -> None:
    app, workers, extra = (Ansible(site, name) for name in ("app", "worker:", "extra"))
    assert app.matched() == [("app", "RUNNING")]
    assert [state for _, state in workers.matched()] == ["RUNNING"] * 3
    assert Ansible(site, "slow").matched() == [("slow", "STARTING")]
    app.act("signal HUP", "signalled")
    app.act("restart", "started")
    workers.act("stop", "stopped")
    workers.act("start", "started")
    assert extra.matched() == []
    site.configure(EXTRA)
    extra.group("add", "added process group")
    extra.act("stop", "stopped")
    extra.group("remove", "removed process group")
    site.configure()
    assert site.ctl("update").status == 0


# Salt, modules/supervisord and states/supervisord


def salt_output(ran: Ran) -> str:
    """Salt marks the output of every command that ends with another status than 0."""
    return f"ERROR: {ran.out}" if ran.status else ran.out


def salt_failed(output: str, *harmless: str) -> bool:
    return "ERROR" in output and not any(text in output for text in harmless)


def salt_status(output: str) -> dict[str, tuple[str, str]]:
    found = {}
    for line in output.splitlines():
        if len(line.split()) > 2:
            process, state, reason = line.split(None, 2)
        else:
            process, state = line.split()  # one word or none is a ValueError
            reason = ""
        found[process] = state, reason
    return found


def test_salt(site: Site) -> None:
    found = salt_status(site.ctl("status").out)
    assert found["slow"] == ("STARTING", "")
    assert found["flop"] == ("FATAL", "Exited too quickly (process log may have details)")
    assert {state for state, _ in found.values()} <= STATES
    unknown = salt_status(site.ctl("status nosuch").out)
    assert unknown["nosuch:"] == ("ERROR", "(no such process)")
    assert not salt_failed(salt_output(site.ctl("start", "app")), "already started")
    assert not salt_failed(salt_output(site.ctl("stop", "manual")), "not running")
    assert not salt_failed(salt_output(site.ctl("restart", "manual")), "not running")
    assert not salt_failed(salt_output(site.ctl("stop", "manual")))
    assert not salt_failed(salt_output(site.ctl("add", "app")), "process group already active")
    assert salt_failed(salt_output(site.ctl("start", "nosuch")), "already started")
    site.configure(EXTRA)
    assert site.ctl("update", "extra").out == "extra: added process group\n"
    site.configure(EXTRA.replace("1000", "1001"))
    assert "extra: updated" in salt_output(site.ctl("update", "extra"))
    site.configure()
    path = site.daemon.directory / "c.conf"
    path.write_text(path.read_text().replace(EXTRA.replace("1000", "1001"), ""))
    assert site.ctl("update").out == "extra: stopped\nextra: removed process group\n"


# Puppet, Chef, testinfra, shell


@pytest.mark.parametrize(("name", "state"), [("app", "RUNNING"), ("manual", "STOPPED")])
def test_puppet(site: Site, name: str, state: str) -> None:
    script = f"supervisorctl status {name} | awk '{{print $2}}' | grep '^{state}$'"
    assert site.sh(script) == (0, f"{state}\n", "")
    lines = site.ctl("status").out.splitlines()
    (line,) = [line for line in lines if re.match(rf"{name}[: ]", line)]
    assert line.split()[1] == state


def test_chef(site: Site) -> None:
    """The regular expression wants something after the state, if only blanks."""
    for name, expected in (("slow", "STARTING"), ("worker", "RUNNING"), ("app", "RUNNING")):
        out = site.ctl("status").out
        found = re.findall(rf"(^{name}(:\S+)?\s*([A-Z]+)(.+))", out, re.MULTILINE)
        assert {match[2] for match in found} == {expected}, out
    # Any line without ERROR is success.
    assert site.sh("supervisorctl start manual | grep -v ERROR") == (0, "manual: started\n", "")
    assert site.sh("supervisorctl stop manual | grep -v ERROR") == (0, "manual: stopped\n", "")


def test_testinfra(site: Site) -> None:
    for line in site.ctl("status", "app", "worker:*").out.splitlines():
        _, status, _, pid, _, uptime = line.split()  # six words, no more and no fewer
        assert status == "RUNNING"
        assert int(pid.removesuffix(",")) > 0
        assert re.fullmatch(r"\d+:\d\d:\d\d", uptime)
    assert {line.split()[1] for line in site.ctl("status").out.splitlines()} <= STATES


def test_health_checks_of_containers(site: Site) -> None:
    """docker-mailserver; awk one-liners; microsoft's watchdog, which reads "status all"."""
    script = "supervisorctl status app worker:worker_00 | awk '{print $2}' | sort -u"
    assert site.sh(script).out == "RUNNING\n"
    script = """supervisorctl status | awk '$2 != "RUNNING" { print $1 }'"""
    assert site.sh(script).out.split() == ["again", "flop", "manual", "once", "slow"]
    assert site.ctl("status", "all").status == site.ctl("status").status == 3
    pid = site.sh("supervisorctl status app | awk '{print $4}' | tr -d ,").out
    assert int(pid) == site.daemon.pid("app")
    assert site.sh("supervisorctl pid >/dev/null && echo alive").out == "alive\n"


def test_deployments(site: Site) -> None:
    """Laravel, Frappe, Zulip, batou, logrotate and everybody's deploy script."""
    ran = site.sh("set -e; supervisorctl reread; supervisorctl update; supervisorctl restart app")
    assert ran == (
        0,
        "No config updates to processes\napp: stopped\napp: started\n",
        "",
    )
    before = [site.daemon.pid(f"worker:worker_0{number}") for number in range(3)]
    assert site.ctl("restart", "worker:").out.count(": started\n") == 3
    assert site.ctl("start", "worker:*") == (0, "", "")  # as after reread and update
    assert not {site.daemon.pid(f"worker:worker_0{number}") for number in range(3)} & {*before}
    assert "RUNNING" in site.ctl("status", "app").out
    log = site.daemon.info("app")["stdout_logfile"]
    assert site.sh(
        f"kill -HUP $(supervisorctl pid app); while ! grep -q reloaded {log}; do :; done"
    )
    shell = site.ctl(stdin="restart app\n")
    assert shell.status == 0
    assert shell.out.endswith("supervisor> app: stopped\napp: started\nsupervisor> \n")
    assert site.ctl("restart a b").out.startswith("a: ERROR (no such process)\nb: ERROR")


@pytest.mark.behaviour("client.md#a-daemon-that-is-going-down")
def test_a_stop_script_of_an_init_system(site: Site) -> None:
    """Debian's unit and scripts under ``set -e``: a second shutdown is no failure."""
    assert site.ctl("shutdown") == (0, "Shut down\n", "")
    site.daemon.process.wait(30)
    assert site.ctl("pid").status == 7
    assert site.ctl("status").status == 4
