"""Talking JSON to the API in raw requests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.kit.web import request

if TYPE_CHECKING:
    from tests.kit.web import Client, Reply

ROOT = "/api/v1"
JSON = "Content-Type: application/json"
EMPTY = b""


async def read(client: Client, path: str, *, status: int = 200) -> Any:
    """What GET answers; errors without their envelope."""
    return value(await client.get(ROOT + path), status)


async def change(client: Client, path: str, *, status: int = 200, **fields: object) -> Any:
    """What POST of these fields answers; errors without their envelope."""
    return await post(client, path, json.dumps(fields).encode(), status=status)


async def post(
    client: Client, path: str, body: bytes, *headers: str, status: int = 200, type: str = JSON
) -> Any:
    await client.send(request(ROOT + path, type, *headers, body=body, method="POST"))
    return value(await client.reply(), status)


def value(reply: Reply, status: int = 200) -> Any:
    assert reply.status == status, (reply.head, reply.body)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.body.endswith(b"\n")
    found = json.loads(reply.body)
    return found["error"] if status >= 400 and "error" in found else found
