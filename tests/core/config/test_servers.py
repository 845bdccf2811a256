"""Options of servers that Supervisor does not have."""

from __future__ import annotations

import pytest

from tests.core.config.test_passwords import DAMAGED, RFC_7914
from tests.core.config.test_toml import load_toml
from tests.kit.config import load
from trio_supervisor.core.config.access import BODY_MAXBYTES, Access, Credentials, Tls
from trio_supervisor.core.config.model import InetServer
from trio_supervisor.core.errors import ConfigError

FULL = "username=u\npassword=p\n"


def inet(lines: str) -> InetServer:
    server = load(f"[inet_http_server]\nport=[::1]:9001\n{lines}").servers[0]
    assert isinstance(server, InetServer)
    return server


def test_defaults_are_those_of_the_reference() -> None:
    server = inet("")
    assert server == InetServer("inet_http_server", "::1", 9001)
    assert server.access == Access(None, None, True, BODY_MAXBYTES)
    assert server.url == "http://[::1]:9001"


def test_everything() -> None:
    server = inet(
        f"{FULL}readonly_username=eve\nreadonly_password={RFC_7914}\nallowed_hosts=a.example, .b\n"
        "get_actions=off\nbody_maxbytes=1KB\nssl_certificate=c.pem\nssl_key=/k.pem\n"
        "ssl_client_ca=/ca.pem\n"
    )
    assert server.access == Access(
        Credentials("eve", RFC_7914), ("a.example", ".b"), get_actions=False, body_maxbytes=1024
    )
    assert server.tls == Tls("/cwd/c.pem", "/k.pem", "/ca.pem")
    assert server.url == "https://[::1]:9001"
    assert "RFC" not in repr(server.access)
    assert RFC_7914 not in repr(server)


def test_the_same_in_toml() -> None:
    config = load_toml(
        '[supervisord]\nlog_answer_maxbytes = "2KB"\n[inet_http_server]\nport = 9001\n'
        'allowed_hosts = ["a.example", ".b"]\nget_actions = false\nbody_maxbytes = 1024\n'
    )
    assert config.daemon.log_answer_maxbytes == 2048
    assert config.servers[0].access == Access(
        None, ("a.example", ".b"), get_actions=False, body_maxbytes=1024
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("readonly_username=eve\nreadonly_password=p\n", "set username and password too"),
        (f"{FULL}readonly_username=u\nreadonly_password=q\n", "take another name"),
        (f"{FULL}readonly_username=eve\n", "both must be specified"),
        (f"username=u\npassword={DAMAGED[0]}\n", "damaged"),
        (f"{FULL}readonly_username=e\nreadonly_password={DAMAGED[-2]}\n", "are too large"),
        ("ssl_key=/k.pem\n", "set ssl_certificate too"),
        ("ssl_client_ca=/k.pem\n", "set ssl_certificate too"),
        ("body_maxbytes=0\n", "use at least 1"),
        ("get_actions=maybe\n", "not a valid boolean value"),
    ],
)
def test_what_cannot_be_meant(lines: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        inet(lines)
    assert "inet_http_server" in str(error.value)
    assert "{SCRYPT}30" not in str(error.value)
