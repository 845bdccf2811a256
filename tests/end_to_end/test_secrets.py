"""Nothing secret appears in an error, a log line or the export, wherever it is planted."""

from __future__ import annotations

import signal
import xmlrpc.client
from pathlib import Path

import pytest

from tests.kit.daemon import BASE, daemon, eventually, free_port
from trio_supervisor.cli.check.check import check
from trio_supervisor.cli.export import export

#: Part of every secret. What is planted needs no quotes and makes no sense to any option.
SECRET = "hid9den"
VARIABLE = f"{SECRET}/from/outside"
USE = "%(ENV_PLANTED)s"

#: A configuration that runs; some of its programs do not.
RUNS = f"""\
[inet_http_server]
port=127.0.0.1:{{port}}
username=u
password={SECRET}-1
readonly_username=r
readonly_password={SECRET}-2
allowed_hosts=x,{USE}
[supervisorctl]
username=u
password={SECRET}-1
[program:runs]
command=/bin/sh -c "read x" {USE} %(ENV_OWN)s %(ENV_EVERY)s
environment=OWN="{SECRET}-3",EVERYBODY="%(ENV_EVERY)s"
startsecs=0
[program:unbalanced]
command=/bin/echo "%(ENV_OWN)s
environment=OWN="{SECRET} quote's"
startretries=0
[rpcinterface:plugin]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
token={SECRET}-4
"""
X = "[program:x]\ncommand=/bin/cat\n"
#: What is wrong with them, or odd, is told without the secret.
BROKEN = (
    *(
        f"{X}{option}={USE}\n"
        for option in (
            *("autostart", "autorestart", "exitcodes", "killasgroup", "numprocs", "priority"),
            *("startretries", "startsecs", "stdout_logfile", "stderr_logfile_maxbytes"),
            *("stdout_events_enabled", "stopsignal", "umask", "user"),
        )
    ),
    f"{X}environment=A={SECRET}@x\n",
    f'{X}environment=A="{SECRET},B=2\n',
    f'{X}environment=A="1",\nB="{SECRET}"\n',
    f'{X}environment=A="1",\n{SECRET}"\n',
    f'{X}environment=A="1",\n  B="{SECRET}"\n  C={SECRET}#x\n',
    f"{X}environment=A={SECRET}%x\n",
    f"{X}enviroment=A={SECRET}\nautostart=x\n",
    f"[group:g]\nprograms={USE}\n",
    f"[group:g]\npriority={USE}\n",
    f"[eventlistener:l]\ncommand=a\nevents={USE}\n",
    f"[eventlistener:l]\ncommand=a\nevents=TICK\nbuffer_size={USE}\n",
    f"[eventlistener:l]\ncommand=a\nevents=TICK\nresult_handler={USE}:x\n",
    f"[fcgi-program:f]\ncommand=a\nsocket={USE}\n",
    f"[fcgi-program:f]\ncommand=a\nsocket={USE}\n[group:g]\nprograms=f\n",
    f"[fcgi-program:f]\ncommand=a\nsocket=unix:///x\nsocket_owner={USE}\n",
    *(
        f"[inet_http_server:b]\nport=127.0.0.1:1\n{lines}\n"
        for lines in (
            f"port={USE}",
            f"username=u\npassword={SECRET}%",
            f"username=u\npassword={SECRET}\npassword {SECRET}",
            f"pasword={SECRET}\nport=x",
            f"password={SECRET}",
            f"username=u\npassword={{SCRYPT}}{SECRET}",
            f"username=u\npassword={SECRET}\nreadonly_username=r\nreadonly_password={SECRET}%",
            f"username=u\npassword=a\n  password={SECRET}\nport=x",
        )
    ),
    f"[unix_http_server:b]\nfile=/tmp/x\nchown={USE}\n",
    f"[supervisord]\ndirectory=/{USE}\n",
    f"[supervisord]\nlogfile=/{USE}/x\n",
    f"[supervisord]\nloglevel={USE}\n",
    f"[include]\nfiles=a.toml\n{USE}\n",
)
#: The same as TOML, each a line of a file of its own.
BROKEN_TOML = (
    f'[inet_http_server]\nport = "x"\nusername = "u"\npassword = "{SECRET}$"\n',
    f'[inet_http_server]\nport = 1\nusername = "u"\npasswrd = "{SECRET}"\n',
    f'[program.x]\ncommand = "a"\nenvironment = {{ A = "{SECRET}$", B = ["{SECRET}"] }}\n',
    f'[program.x]\ncommand = "a"\nenvironment = "A={SECRET}"x\n',
    '[program.x]\ncommand = "a"\nnumprocs = "${ENV_PLANTED}"\n',
    f'[program.x]\ncommand = ["a", "$"]\nenvironment = "{SECRET}"\n',
)


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", VARIABLE)


@pytest.mark.behaviour("configuration.md#errors-show-no-secrets")
def test_what_runs_and_what_is_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RUNS.format(port=free_port())
    base = BASE.replace("loglevel=debug", f'loglevel=blather\nenvironment=EVERY="{SECRET}-0"')
    with daemon(tmp_path, text, base=base) as running:
        running.wait_for("runs", "RUNNING")
        running.wait_for("unbalanced", "FATAL")
        assert SECRET in Path(f"/proc/{running.pid('runs')}/cmdline").read_text()
        path = tmp_path / "c.conf"
        good = path.read_text()
        faults: list[str] = []
        for broken in BROKEN:
            path.write_text(good + broken)
            try:
                running.rpc.reloadConfig()
            except xmlrpc.client.Fault as fault:
                faults.append(fault.faultString)
                running.signal(signal.SIGHUP)  # refused with a line in the log
                eventually(
                    lambda: running.log.count("restart refused") == len(faults), "the refusal"
                )
        path.write_text(good)
        assert running.stop() == 0
        for form in ("toml", "json"):
            assert export(str(path), {}, form, "tsupervisord") == 0
        outputs = [
            running.log,
            *((tmp_path / name).read_text() for name in ("stdout", "stderr")),
            *capsys.readouterr(),
            *faults,
        ]
    assert len(faults) > len(BROKEN) / 2
    assert "can't parse command '/bin/echo \"***'" in running.log
    for output in outputs:
        assert SECRET not in output


@pytest.mark.behaviour("configuration.md#errors-show-no-secrets")
@pytest.mark.parametrize("broken", [*BROKEN, *BROKEN_TOML])
def test_what_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str) -> None:
    toml = broken in BROKEN_TOML
    path = tmp_path / ("c.toml" if toml else "c.conf")
    path.write_text(f"[supervisord]\n{broken}" if toml else f"[supervisord]\nuser=root\n{broken}")
    for form in ("text", "json"):
        check(str(path), {}, form, "tsupervisord")
    out, err = capsys.readouterr()
    assert '"findings"' in out
    assert SECRET not in out + err
