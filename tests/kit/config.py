"""Loading configurations from text, in a context that is the same everywhere."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from trio_supervisor.core.config.build import build
from trio_supervisor.core.config.context import EvalContext
from trio_supervisor.core.config.ini import Document, read

if TYPE_CHECKING:
    from trio_supervisor.core.config.model import Config, ProcessConfig

HERE = "/here"
USERS = {"root": 0, "nobody": 65534}
GROUPS = {"root": 0, "nogroup": 65534, "daemon": 1}
DIRECTORIES = {"/", "/here", "/tmp", "/home/me", "/here/logs"}
#: A daemon with a server, which the configurations of the tests extend.
BASE = """\
[supervisord]
logfile=%(here)s/sd.log
pidfile=%(here)s/sd.pid
childlogdir=%(here)s
nocleanup=true
user=root
identifier=golden
[unix_http_server]
file=%(here)s/s
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""


def _number(names: dict[str, int], text: str) -> int:
    if text.isdigit():
        if int(text) in names.values():
            return int(text)
        raise KeyError(text)
    return names[text]


def eval_context(environ: dict[str, str] | None = None) -> EvalContext:
    return EvalContext(
        environ={"HOME": "/home/me"} if environ is None else environ,
        cwd="/cwd",
        host_node_name="node",
        tempdir=lambda: "/tmp",
        user_id=lambda text: _number(USERS, text),
        group_id=lambda text: _number(GROUPS, text),
        is_dir=lambda path: posixpath.normpath(path) in DIRECTORIES,
        expand_user=lambda path: "/home/me" + path[1:] if path.startswith("~/") else path,
    )


def load(fragment: str, environ: dict[str, str] | None = None, base: str = BASE) -> Config:
    """The configuration of the base and a fragment."""
    document = Document()
    read(base + fragment, file="c.conf", here=HERE, into=document)
    return build(document, eval_context(environ), overrides={}, here=HERE)


def program(lines: str, environ: dict[str, str] | None = None) -> ProcessConfig:
    """The process of ``[program:x]`` with ``command=/bin/cat``, ``autostart=false`` and lines."""
    text = f"[program:x]\ncommand=/bin/cat\nautostart=false\n{lines}\n"
    ((process,),) = (group.processes for group in load(text, environ).groups)
    return process
