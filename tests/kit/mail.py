"""Places that mail goes to: a sendmail command and an SMTP server that keep what they are given."""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SENDMAIL = """\
#!{python}
import sys, uuid
text = sys.stdin.read()
with open(sys.argv[1] + "/." + uuid.uuid4().hex, "w") as file:
    file.write(text)
import os
os.rename(file.name, sys.argv[1] + "/" + os.path.basename(file.name)[1:])
"""


class Mailbox:
    """Mail that was given to ``command``, a stand-in for sendmail."""

    def __init__(self, directory: Path) -> None:
        self._box = directory / "mail"
        self._box.mkdir()
        script = directory / "sendmail.py"
        script.write_text(_SENDMAIL.format(python=sys.executable))
        self.command = f"{sys.executable} {script} {self._box}"

    def mails(self, subject: str) -> list[str]:
        """The mails with this text in their subject."""
        texts = [path.read_text() for path in self._box.iterdir() if path.name[0] != "."]
        return [text for text in texts if subject in text.partition("\n\n")[0]]


class _Session(socketserver.StreamRequestHandler):
    """Says yes to everything; what follows DATA is kept."""

    timeout = 60

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        for line in self.rfile:
            command = line[:4].upper().strip()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                assert isinstance(self.server, SmtpServer)
                self.server.mails.append(text.decode().replace("\r\n", "\n"))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


class SmtpServer(socketserver.TCPServer):
    """Keeps mail in ``mails``; at ``address``, as ``host:port``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[str] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
