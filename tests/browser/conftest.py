"""One browser for all tests of this package, and daemons with a port for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.browser import Browser, started
from tests.kit.daemon import Daemon, daemon, free_port

#: A program that runs until it is told to stop.
CAT = "command=/bin/cat\n"
#: A program that ends when it is told to, once there is a file ``go`` beside its configuration.
SLOW = """\
command=/bin/sh -c "trap 'until [ -e go ]; do sleep .1; done; exit' 15; while sleep .1; do :; done"
directory=%(here)s
stopwaitsecs=60
"""


@dataclass
class Site:
    """A daemon and where its page is."""

    daemon: Daemon
    address: str


Serve = Callable[[str], AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def _window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(_window: Browser) -> Browser:
    _window.reset()
    return _window


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Serve:
    """Runs a daemon with these programs; one after another they have the same port."""

    @contextmanager
    def run(programs: str) -> Iterator[Site]:
        server = f"[inet_http_server]\nport=127.0.0.1:{port}\n"
        with daemon(tmp_path, server + programs) as running:
            yield Site(running, f"http://127.0.0.1:{port}/")

    return run
