"""``trio_supervisor.childutils``: what listeners written for ``supervisor.childutils`` rely on."""

from __future__ import annotations

import base64
import http.server
import io
import os
import socketserver
import subprocess
import sys
import threading
import xmlrpc.client
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from supervisor import childutils as reference_childutils

from trio_supervisor import childutils
from trio_supervisor.core.events import RemoteCommunication
from trio_supervisor.core.listener import envelope

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE = "type:tt\nnön€ ascii 😀"
#: A listener of a tutorial, with one import changed: accepts everything, and writes what it heard.
TUTORIAL = """\
import sys
from trio_supervisor import childutils

while True:
    headers, payload = childutils.listener.wait()
    print(headers["serial"], ascii(payload), file=sys.stderr, flush=True)
    if headers["serial"] == "1":
        childutils.listener.send("fünf€")
    else:
        childutils.listener.ok()
"""


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        pytest.param(
            "ver:3.0 server:supervisor serial:21 pool:listener len:54\n",
            {"ver": "3.0", "server": "supervisor", "serial": "21", "pool": "listener", "len": "54"},
            id="header",
        ),
        pytest.param("a:b:c d:", {"a": "b:c", "d": ""}, id="FIX-first-colon"),
        pytest.param("", {}, id="empty"),
    ],
)
def test_get_headers(line: str, headers: dict[str, str]) -> None:
    assert childutils.get_headers(line) == headers


def test_get_headers_of_a_token_without_colon() -> None:
    with pytest.raises(ValueError, match="length 1"):
        childutils.get_headers("nothing")


def test_eventdata_divides_at_the_first_newline() -> None:
    assert childutils.eventdata("processname:a pid:1\nx:y\nzé\n") == (
        {"processname": "a", "pid": "1"},
        "x:y\nzé\n",
    )
    with pytest.raises(ValueError, match="unpack"):
        childutils.eventdata("processname:a")


@pytest.mark.parametrize(
    ("now", "text"),
    [(1.5, "1970-01-01 00:00:01,500"), (1700000000.999, "2023-11-14 22:13:20,999")],
)
def test_get_asctime(now: float, text: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from trio_supervisor import childutils; print(childutils.get_asctime({now}))",
        ],
        env={**os.environ, "TZ": "UTC"},
        cwd=Path(childutils.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{text}\n"
    assert len(childutils.get_asctime()) == len(text)


def event(serial: int, payload: str, *, count_bytes: bool = False) -> bytes:
    return envelope(
        server="supervisor",
        serial=serial,
        pool="p",
        poolserial=serial,
        event=RemoteCommunication.name,
        payload=payload,
        count_bytes=count_bytes,
    )


@pytest.mark.behaviour("events.md#len-counts-characters")
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_listener_of_a_tutorial_stays_in_step(locale: str) -> None:
    """Payloads beyond ASCII, results beyond ASCII (1.8 FIX), then the next event."""
    sent = event(0, WIDE) + event(1, "") + event(2, "type:t\nend")
    done = subprocess.run(
        [sys.executable, "-c", TUTORIAL],
        input=sent,
        env={**os.environ, "LC_ALL": locale},
        cwd=Path(childutils.__file__).parents[1],
        capture_output=True,
        timeout=60,
        check=False,
    )
    heard = done.stderr.decode().splitlines()
    assert heard[:3] == [f"0 {WIDE!a}", "1 ''", "2 'type:t\\nend'"]
    assert heard[-1] == "EOFError: the supervisor has closed the pipe of its events"
    assert done.stdout == (
        b"READY\nRESULT 2\nOK"
        + b"READY\nRESULT 8\n"
        + "fünf€".encode()
        + b"READY\nRESULT 2\nOKREADY\n"
    )


@pytest.mark.behaviour("events.md#len-counts-characters")
def test_wait_with_streams_of_ones_own() -> None:
    stdout = io.StringIO()
    stdin = io.StringIO(event(7, WIDE).decode())
    headers, payload = childutils.listener.wait(stdin, stdout)
    assert (headers["serial"], payload) == ("7", WIDE)
    assert stdout.getvalue() == "READY\n"


@pytest.mark.behaviour("events.md#childutils")
@pytest.mark.parametrize("stdout", [io.BytesIO(), io.TextIOWrapper(io.BytesIO(), "ascii")])
def test_answers_count_bytes_on_any_stream(stdout: io.BytesIO | io.TextIOWrapper) -> None:
    """The supervisor counts bytes."""
    childutils.listener.ready(stdout)
    childutils.listener.ok(stdout)
    childutils.listener.fail(stdout)
    childutils.listener.send("é", stdout)
    childutils.listener.send(b"\xff", stdout)
    written = stdout if isinstance(stdout, io.BytesIO) else stdout.buffer
    assert isinstance(written, io.BytesIO)
    assert written.getvalue() == (
        b"READY\nRESULT 2\nOKRESULT 4\nFAILRESULT 2\n\xc3\xa9RESULT 1\n\xff"
    )


@pytest.mark.behaviour("events.md#childutils")
def test_pcomm_sends_text_and_bytes_in_order_with_what_was_printed() -> None:
    """Supervisor writes bytes to a text stream."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from trio_supervisor.childutils import pcomm\n"
            "sys.stdout.write('before ')\n"
            "pcomm.stdout('é')\n"
            "pcomm.send(b'\\xff')\n"
            "sys.stdout.write(' after')\n"
            "pcomm.stderr('err')\n",
        ],
        cwd=Path(childutils.__file__).parents[1],
        capture_output=True,
        timeout=60,
        check=True,
    )
    begin, end = b"<!--XSUPERVISOR:BEGIN-->", b"<!--XSUPERVISOR:END-->"
    assert done.stdout == (
        b"before " + begin + "é".encode() + end + begin + b"\xff" + end + b" after"
    )
    assert done.stderr == begin + b"err" + end


def used(module: Any) -> list[object]:
    """What comes of a module with these names, of all that works in Supervisor's."""
    written = io.StringIO()
    listener = module.listener
    heard = [
        listener.wait(io.StringIO(event(7, payload).decode()), written) for payload in ("a:b", WIDE)
    ]
    listener.ready(written)
    listener.ok(written)
    listener.fail(written)
    listener.send("four", written)
    module.EventListenerProtocol().ok(written)
    transport = module.getRPCTransport({"SUPERVISOR_SERVER_URL": "unix:///s.sock"})
    return [
        heard,
        written.getvalue(),
        module.get_headers("processname:cat groupname:cat from_state:STOPPED tries:0"),
        module.eventdata("type:t pid:1\nsome: text\n"),
        module.eventdata("when:5\n"),
        module.get_asctime(1700000000.0625),
        transport.serverurl,
        hasattr(module.getRPCInterface({"SUPERVISOR_SERVER_URL": "unix:///s.sock"}), "supervisor"),
        sorted(name for name in vars(module.ProcessCommunicationsProtocol) if name[0] != "_"),
        [isinstance(module.pcomm, module.ProcessCommunicationsProtocol)],
    ]


@pytest.mark.behaviour("events.md#len-counts-characters")
def test_it_is_used_like_that_of_the_reference() -> None:
    assert used(childutils) == used(reference_childutils)


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers each call with its credentials, then drops the connection without having said so."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        params, method = xmlrpc.client.loads(body)
        said = [self.path, method, *params, self.headers.get("Authorization", "")]
        answer = xmlrpc.client.dumps((said,), methodresponse=True).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.close_connection = True

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: object) -> None:
        pass


class _UnixServer(socketserver.UnixStreamServer):
    pass


@contextmanager
def server(directory: Path, kind: str) -> Iterator[str]:
    """Serve at a unix or inet address; its URL."""
    made: socketserver.BaseServer
    if kind == "unix":
        path = directory / "s.sock"
        made, url = _UnixServer(str(path), _Answers), f"unix://{path}"
    else:
        made = http.server.HTTPServer(("127.0.0.1", 0), _Answers)
        url = f"http://127.0.0.1:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield url
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


@pytest.mark.behaviour("http.md#idle-connections")
@pytest.mark.parametrize("kind", ["unix", "http"])
def test_the_interface_connects_again_when_the_server_hung_up(kind: str, tmp_path: Path) -> None:
    with server(tmp_path, kind) as url:
        env = {"SUPERVISOR_SERVER_URL": url, "SUPERVISOR_USERNAME": "üser"}
        proxy = childutils.getRPCInterface(env)
        token = base64.b64encode("üser:".encode()).decode()
        for number in range(3):
            answer = proxy.supervisor.echo(number)
            assert answer == ["/RPC2", "supervisor.echo", number, f"Basic {token}"]
        proxy("close")()


def test_credentials_are_always_sent_as_by_the_reference() -> None:
    transport = childutils.getRPCTransport({"SUPERVISOR_SERVER_URL": "http://localhost:9001"})
    empty = base64.b64encode(b":").decode()
    assert transport._headers == [("Authorization", f"Basic {empty}")]
    assert childutils.SupervisorTransport(None, None, "http://localhost")._headers == []


def test_a_transport_needs_a_url_it_knows() -> None:
    with pytest.raises(KeyError, match="SUPERVISOR_SERVER_URL"):
        childutils.getRPCTransport({})
    with pytest.raises(ValueError, match="must begin with http://, https:// or unix://"):
        childutils.getRPCTransport({"SUPERVISOR_SERVER_URL": "ftp://localhost"})


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    proxy = childutils.getRPCInterface({"SUPERVISOR_SERVER_URL": f"unix://{tmp_path}/none"})
    with pytest.raises(FileNotFoundError):
        proxy.supervisor.getState()
