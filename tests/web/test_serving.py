"""A server that an embedding program asked for shows a supervised task."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from trio_supervisor import State, UnixServer, open_supervisor, serve_http

CLIENT = "import sys; from trio_supervisor.cli.ctl.main import main; sys.exit(main())"


async def test_a_task_on_the_page_and_for_the_client(tmp_path: Path) -> None:
    server = UnixServer("http", str(tmp_path / "app.sock"))
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        task = supervisor.add_task("poller", trio.sleep_forever, startsecs=0)
        await task.wait_for(State.RUNNING)
        await nursery.start(serve_http, supervisor, server)
        async with await trio.open_unix_socket(server.file) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            page = b"".join([part async for part in stream])
        assert b"poller" in page
        assert b'<span class="value">0:00:0' in page
        assert b'<td class="number pid">task</td>' in page
        done = await trio.run_process(
            [sys.executable, "-c", CLIENT, "-s", server.url, "status"],
            capture_stdout=True,
        )
        assert done.stdout.split()[:3] == [b"poller", b"RUNNING", b"task,"]
        nursery.cancel_scope.cancel()
    assert "app.sock" not in os.listdir(tmp_path)
