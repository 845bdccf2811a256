"""The certificate of a server while its files are renewed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
import trustme

from tests.kit.daemon import PATIENCE
from trio_supervisor.core.config.access import Tls
from trio_supervisor.web import tls
from trio_supervisor.web.tls import Certificate


@pytest.mark.behaviour("http.md#tls")
async def test_a_disk_that_hangs_is_waited_for_only_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    """Connections get the certificate that was read last, and take no further threads."""
    path = tmp_path / "server.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    certificate = Certificate(Tls(str(path)))
    context = certificate.context
    works, stopped, threads = threading.Event(), threading.Event(), []

    def hang(files: Tls) -> list[tuple[int, int, int]]:
        threads.append(threading.current_thread())
        assert works.wait(PATIENCE)
        stopped.set()
        return []

    monkeypatch.setattr(tls, "_versions", hang)
    for _ in range(3):
        await certificate.renew()
    assert certificate.context is context
    works.set()
    assert await trio.to_thread.run_sync(stopped.wait, PATIENCE)
    assert len(threads) == 1
