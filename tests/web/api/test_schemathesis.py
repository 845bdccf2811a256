"""The running server does what its OpenAPI description says, with whatever schemathesis sends.

Needs the dev extra; ``.ci/run`` runs it there.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import daemon, free_port
from trio_supervisor.web.api.routes import HEALTH, ROUTES

#: Enough for every operation's parameters, one by one and in pairs; the whole takes half a minute.
EXAMPLES = 10
SEED = 1  # the same requests in every run
#: Seconds; the test's own watchdog comes later.
PATIENCE = 110

#: Starts and stops take no time, and nothing that is sent ends the test.
CONFIG = """
[inet_http_server]
port=127.0.0.1:{port}
[program:cat]
command=/bin/cat
startsecs=0
[program:job]
command=/bin/sh -c "echo done; echo failed >&2; exit 3"
startsecs=0
autorestart=false
[program:broken]
command=/nonexistent
startretries=0
[program:many]
command=/bin/cat
process_name=%(process_num)d
numprocs=2
startsecs=0
redirect_stderr=true
"""
#: Not ready is an answer, not an error of the server. A description cannot say that places exclude
#: each other, nor which expressions would take too long.
SETTINGS = """
[[operations]]
include-path = "/readyz"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]
[[operations]]
include-path-regex = "/lines"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404]
"""
#: A process and a group that exist, which names out of the air mostly do not.
WITH_NAMES = f"""
[parameters]
"path.name" = "cat"
{SETTINGS}"""
#: The operations with a name, but for the one after which the others find nothing.
ONLY = ("--include-path-regex", "{name}", "--exclude-path-regex", "/remove$")
#: What ends the server, or does not end.
EXCLUDED = (
    "POST /api/v1/daemon/shutdown",
    "POST /api/v1/daemon/restart",
    "GET /api/v1/events",
    "GET /api/v1/daemon/log/follow",
    "GET /api/v1/processes/{name}/logs/{channel}/follow",
)


@pytest.mark.behaviour("http.md#the-description-of-the-api")
@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None,
    reason="schemathesis comes with the dev extra, where .ci/run runs this",
)
@pytest.mark.parametrize("settings", [SETTINGS, WITH_NAMES], ids=["any names", "known names"])
def test_the_server_keeps_its_description(tmp_path: Path, settings: str) -> None:
    only = ONLY if settings is WITH_NAMES else ()
    (tmp_path / "schemathesis.toml").write_text(settings)
    port = free_port()
    with daemon(tmp_path, CONFIG.format(port=port)) as running:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", "schemathesis.toml"),
                *("run", f"http://127.0.0.1:{port}/api/v1/openapi.json"),
                *("--phases", "examples,coverage,fuzzing"),
                *("--checks", "all"),
                *("--max-examples", str(EXAMPLES)),
                *("--seed", str(SEED)),
                "--continue-on-failure",
                *only,
                *(word for name in EXCLUDED for word in ("--exclude-name", name)),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        if not only:  # all; to it the description itself is no operation
            assert f"Selected: {len((*HEALTH, *ROUTES)) - len(EXCLUDED) - 1}/" in done.stdout
        assert running.process.poll() is None
        assert "Traceback" not in running.log
