"""Whose messages count: the kernel tells who has sent each of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import pytest

from tests.kit.root import needs_root
from trio_supervisor.runtime.probes.notify_socket import NotifySocket

if TYPE_CHECKING:
    from trio_supervisor.core.process.notification import Notification

OURS, PROGRAM, OTHER = 0, 65001, 65002
#: Becomes another user after it has got the socket, whose file is closed to that user.
SEND = """\
import os, socket, sys
with socket.socket(fileno=int(sys.argv[1])) as s:
    os.setuid(int(sys.argv[2]))
    s.send(b"READY=1")
"""


@needs_root
@pytest.mark.behaviour("policies.md#ready-by-a-message")
@pytest.mark.parametrize(("sender", "counts"), [(PROGRAM, True), (OURS, True), (OTHER, False)])
def test_messages_of_other_users_are_ignored(
    sender: int, counts: bool, request: pytest.FixtureRequest
) -> None:
    directory = Path(mkdtemp(dir="/tmp"))  # sockets have short names
    request.addfinalizer(directory.rmdir)
    told: list[str] = []
    found: list[Notification] = []
    receiver = NotifySocket(str(directory / "s"), PROGRAM, told.append)
    request.addfinalizer(receiver.close)
    assert os.stat(receiver.path).st_uid == PROGRAM
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(receiver.path)
        for _ in range(2):
            subprocess.run(
                [sys.executable, "-S", "-c", SEND, str(s.fileno()), str(sender)],
                pass_fds=[s.fileno()],
                check=True,
            )
    receiver.read_waiting(found.append)
    assert [message.ready for message in found] == [True] * (2 if counts else 0)
    assert told == ([] if counts else [f"a message of uid {OTHER} is ignored"])  # once
