"""Lines of output to systemd's journal, one entry each, by its native protocol.

The protocol is described at https://systemd.io/JOURNAL_NATIVE_PROTOCOL. A writer thread sends the
entries, because the journal may be busy. While it takes nothing, what is too much is dropped and
counted; no program waits for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

from trio_supervisor.runtime.logs.syslog import SyslogSocket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_supervisor.runtime.logs.writer import Writer

#: Severities of syslog: informational, and warning for stderr.
PRIORITIES = {"stdout": 6, "stderr": 4}
#: Bytes of a line; of a longer one each part of this length is an entry.
LONGEST_LINE = 1024 * 1024
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class JournalSocket(SyslogSocket):
    """The socket of the journal. What is too large for a datagram goes by a sealed file."""

    def write(self, data: memoryview) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
        fd = os.memfd_create("entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            rest = data
            while rest:
                rest = rest[os.write(fd, rest) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            self.send_descriptor(fd)
        finally:
            os.close(fd)
        return len(data)

    def send_descriptor(self, fd: int) -> None:
        """Send a descriptor alone. Raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.connect(self.address)
            socket.send_fds(own, [b""], [fd])


class JournalSink:
    """The lines of one output of one process. The beginning of a line waits for its end."""

    def __init__(self, shared: Writer, fields: Mapping[str, str]) -> None:
        self._writer = shared
        self._head = b"".join(_field(name, value.encode()) for name, value in fields.items())
        self._held = b""

    def write(self, data: bytes) -> None:
        """Take output. Never raises and never blocks; dropped entries are reported."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._send(line)
        if len(self._held) > LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        """Send what is held back: the output of the child has ended."""
        held, self._held = self._held, b""
        if held:
            self._send(held)

    def close(self) -> None:
        """End the use of the journal; what is waiting is still sent."""
        self.finish()
        self._writer.release()

    def _send(self, line: bytes) -> None:
        self._writer.put(self._head + _field("MESSAGE", line))


def _field(name: str, value: bytes) -> bytes:
    """Return one field of an entry; a value with a newline has its length in front."""
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
