"""``tsupervisord --upgrade-check``: whether this program can go on with a state, which is on stdin.

The daemon runs it before it gives its place to this program: as the same user, with the same
arguments and environment. Everything that the start does and that can fail is tried; nothing is
changed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from trio_supervisor._version import __version__
from trio_supervisor.core.config.model import InetServer
from trio_supervisor.core.errors import SupervisorError
from trio_supervisor.core.handover.codec import NotUnderstood
from trio_supervisor.core.handover.versions import FORMAT, decoded
from trio_supervisor.runtime.load import load_config
from trio_supervisor.runtime.logs.activity import try_activity_log
from trio_supervisor.web.tls import Certificate

if TYPE_CHECKING:
    from trio_supervisor.cli.daemon_options import DaemonOptions
    from trio_supervisor.core.handover.state import HandedState


class UpgradeRefused(SupervisorError):
    """This program cannot go on with the state; the text says why."""


def upgrade_check(options: DaemonOptions, program: str) -> int:
    """Print the version of this program as JSON if it can go on with the state on stdin.

    Raises SupervisorError if it cannot.
    """
    try:
        handed = decoded(sys.stdin.buffer.read(), 0.0, time.monotonic())
    except NotUnderstood as error:
        raise UpgradeRefused(f"version {__version__} cannot go on: {error}") from None
    _check_configuration(handed, options, program)
    print(json.dumps({"version": __version__, "format": FORMAT}))
    return 0


def _check_configuration(handed: HandedState, options: DaemonOptions, program: str) -> None:
    """Read the configuration, and open what the servers and the log need.

    A file that only another user may read is left out: the state has what was read of it. Raises
    SupervisorError.
    """
    config = handed.supervisor.config
    file = config.path
    if file is None or os.access(file, os.R_OK):
        load_config(
            options.configuration,
            overrides=options.overrides,
            program=program,
            origin=handed.program.origin,
        )
    try_activity_log(config.daemon)
    for server in config.servers:
        if isinstance(server, InetServer) and server.tls is not None:
            Certificate(server.tls)
