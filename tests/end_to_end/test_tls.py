"""TLS from end to end: the real daemon, the real client, certificates good and bad."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.kit.ctl import install, run
from tests.kit.daemon import PATIENCE, daemon, eventually, free_port, run_to_end, write_config
from tests.kit.machine import need_localhost
from trio_supervisor import childutils
from trio_supervisor.cli.client.client import Client
from trio_supervisor.cli.client.tls_options import TlsOptions

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """\
[inet_http_server]
port=127.0.0.1:{port}
username=bob
password=p:w
ssl_certificate=%(here)s/server.pem
{more}
[program:cat]
command=/bin/cat
startsecs=0
stdout_logfile=%(here)s/cat.log
"""
CLIENT = """\
[supervisorctl]
serverurl=https://localhost:{port}
username=bob
password=p:w
{options}
"""


def issue(ca: trustme.CA, directory: Path, name: str = "localhost") -> None:
    """Replace the server's certificate, as tools do that renew them."""
    fresh = directory / "fresh.pem"
    ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(fresh))
    fresh.rename(directory / "server.pem")


def ctl(directory: Path, port: int, options: str, *words: str) -> tuple[int, str]:
    config = directory / "ctl.conf"
    config.write_text(CLIENT.format(port=port, options=options))
    done = run([install(directory / "bin"), "-c", str(config), *words])
    assert done.err == ""
    return done.status, done.out


def handshake(port: int, ca: trustme.CA) -> str | None:
    """The serial number of the certificate that a new connection sees."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        certificate = tls.getpeercert()
        return None if certificate is None else str(certificate["serialNumber"])


@pytest.mark.behaviour("http.md#tls")
def test_client_and_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_localhost()
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    issue(ca, tmp_path)
    port = free_port()
    trusted = f"ssl_ca={tmp_path}/ca.pem"
    with daemon(tmp_path, SERVER.format(port=port, more="")) as running:
        running.wait_for("cat", "RUNNING")

        # The client: by option, by the system's own trust, and not at all.
        status, out = ctl(tmp_path, port, trusted, "status")
        assert (status, out[:9]) == (0, "cat      ")
        status, out = ctl(tmp_path, port, f"ssl_ca={tmp_path}/stranger.pem", "status")
        assert status == 1
        assert out.startswith("error: the certificate of localhost is not trusted: ")
        assert "ssl_ca= in [supervisorctl] names the authorities to trust" in out
        assert ctl(tmp_path, port, "", "status")[0] == 1
        status, out = ctl(tmp_path, port, "ssl_ca=/none.pem", "status")
        assert (status, out[:42]) == (1, "error: cannot use the PEM files /none.pem:")
        assert ctl(tmp_path, port, "ssl_verify=false", "pid")[0] == 0

        # One connection for many calls; a log that is followed; an answer of many records.
        tls = TlsOptions()
        tls.ca = f"{tmp_path}/ca.pem"
        url = f"https://localhost:{port}"
        (tmp_path / "cat.log").write_text("é" * 500_000)
        with closing(Client(url, "bob", "p:w", PATIENCE, tls)) as client:
            for _ in range(3):
                assert client.call("supervisor.getPID") == running.process.pid
            text = client.call("supervisor.readProcessStdoutLog", "cat", 0, 0)
            assert text == "é" * 500_000
            with closing(client.stream("/logtail/cat")) as stream:
                received = b""
                while len(received) < 1024:
                    received += stream.read()
                stream.stop_blocking()
                assert stream.read() == b""  # whatever TLS itself has to say
                running.rpc.sendProcessStdin("cat", "live\n")
                while not received.endswith(b"live\n"):
                    received += stream.read()

        # Listeners and scripts in Python.
        monkeypatch.setenv("SSL_CERT_FILE", f"{tmp_path}/ca.pem")
        proxy = childutils.getRPCInterface(
            {
                "SUPERVISOR_SERVER_URL": url,
                "SUPERVISOR_USERNAME": "bob",
                "SUPERVISOR_PASSWORD": "p:w",
            }
        )
        assert proxy.supervisor.getPID() == running.process.pid
        proxy("close")()

        # Whoever does not speak TLS, or says nothing at all, disturbs nobody.
        with socket.create_connection(("127.0.0.1", port)) as silent:
            with socket.create_connection(("127.0.0.1", port)) as plain:
                plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
                plain.settimeout(PATIENCE)
                assert plain.recv(100).startswith(b"HTTP/1.1 400 This port speaks TLS")
            silent.sendall(b"\x16\x03\x01")
            before = handshake(port, ca)

        # A certificate is renewed without a restart; a broken one is refused and the old one kept.
        issue(ca, tmp_path)
        assert handshake(port, ca) not in (None, before)
        renewed = handshake(port, ca)
        (tmp_path / "server.pem").write_text("broken")
        assert handshake(port, ca) == renewed  # also the connection that finds the change
        running.wait_log("the last certificate stays in use: Cannot open an HTTP server")
        (tmp_path / "server.pem").unlink()
        assert handshake(port, ca) == renewed
        running.wait_log("server.pem: No such file or directory")
        descriptors = running.descriptors
        for _ in range(5):
            handshake(port, ca)
        eventually(lambda: running.descriptors <= descriptors, "connections being closed")


@pytest.mark.behaviour("http.md#tls")
def test_a_pair_that_is_renewed_one_file_after_the_other(tmp_path: Path) -> None:
    ca = trustme.CA()

    def write(renewed: trustme.LeafCert, *names: str) -> None:
        pems = {"key.pem": renewed.private_key_pem, "server.pem": renewed.cert_chain_pems[0]}
        for name in names:
            pems[name].write_to_path(str(tmp_path / "fresh"))
            (tmp_path / "fresh").rename(tmp_path / name)

    write(ca.issue_cert("localhost"), "key.pem", "server.pem")
    port = free_port()
    with daemon(tmp_path, SERVER.format(port=port, more="ssl_key=%(here)s/key.pem")) as running:
        old = handshake(port, ca)
        for first, second in (("key.pem", "server.pem"), ("server.pem", "key.pem")):
            renewed = ca.issue_cert("localhost")
            write(renewed, first)
            for _ in range(3):
                assert handshake(port, ca) == old
            running.wait_log("KEY_VALUES_MISMATCH")
            write(renewed, second)
            assert handshake(port, ca) not in (None, old)
            old = handshake(port, ca)
        assert running.log.count("the last certificate stays in use") == 2


def test_clients_must_show_who_they_are(tmp_path: Path) -> None:
    need_localhost()
    ca, clients = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    issue(ca, tmp_path)
    mine = clients.issue_cert("me@example.org")
    mine.private_key_pem.write_to_path(str(tmp_path / "me.key"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "me.pem"))
    port = free_port()
    text = SERVER.format(port=port, more="ssl_client_ca=%(here)s/clients.pem")
    with daemon(tmp_path, text):
        trusted = f"ssl_ca={tmp_path}/ca.pem"
        shown = f"{trusted}\nssl_certificate={tmp_path}/me.pem\nssl_key={tmp_path}/me.key"
        assert ctl(tmp_path, port, shown, "pid")[0] == 0
        assert ctl(tmp_path, port, trusted, "pid")[0] == 1


def locked(key: bytes) -> bytes:
    """The same key behind a password."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("missing", "server.pem: No such file or directory"),
        ("unreadable", "are no certificate with its key in PEM form"),
        ("key", "KEY_VALUES_MISMATCH"),
        ("encrypted", "the key is encrypted"),
        ("ca", "holds no certificates in PEM form"),
        ("fifo", "fifo.pem: it is not a regular file"),
    ],
)
def test_certificates_that_cannot_be_used(tmp_path: Path, broken: str, said: str) -> None:
    ca = trustme.CA()
    more = ""
    if broken != "missing":
        issue(ca, tmp_path)
    if broken == "unreadable":
        (tmp_path / "server.pem").write_text("hello")
    if broken == "key":
        ca.issue_cert("other").private_key_pem.write_to_path(str(tmp_path / "other.key"))
        more = "ssl_key=%(here)s/other.key"
    if broken == "encrypted":
        more = "ssl_key=%(here)s/locked.key"
        (tmp_path / "locked.key").write_bytes(locked((tmp_path / "server.pem").read_bytes()))
    if broken == "ca":
        (tmp_path / "empty.pem").write_text("")
        more = "ssl_client_ca=%(here)s/empty.pem"
    if broken == "fifo":
        os.mkfifo(tmp_path / "fifo.pem")
        more = "ssl_key=%(here)s/fifo.pem"
    config = write_config(tmp_path, SERVER.format(port=free_port(), more=more))
    done = run_to_end("-n", "-c", str(config), cwd=tmp_path)
    assert done.returncode == 2
    assert "Error: Cannot open an HTTP server: " in done.stderr
    assert said in done.stderr
    assert not os.path.exists(tmp_path / "s.sock")
