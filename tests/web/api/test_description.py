"""docs/openapi.json is what the server serves, and what its table of routes says.

``TRIO_SUPERVISOR_REGENERATE=1 pytest tests/web/api/test_description.py`` writes the file anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.api import read
from tests.kit.docs import DOCS
from tests.kit.fake_supervisor import FakeSupervisor
from tests.kit.web import talking
from trio_supervisor.web.api.routes import DESCRIPTION, HEALTH, ROUTES
from trio_supervisor.web.api.schema import COMPONENTS


@pytest.mark.behaviour("http.md#the-description-of-the-api")
def test_the_file_is_what_the_table_says() -> None:
    path = DOCS / "openapi.json"
    text = json.dumps(DESCRIPTION, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("TRIO_SUPERVISOR_REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


async def test_the_file_is_what_is_served() -> None:
    async with talking(FakeSupervisor()) as client:
        served = await read(client, "/openapi.json")
    assert served == json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))


@pytest.mark.behaviour("http.md#the-description-of-the-api")
def test_every_operation_is_described() -> None:
    paths: Any = DESCRIPTION["paths"]
    operations = [operation for item in paths.values() for operation in item.values()]
    assert len(operations) == len((*HEALTH, *ROUTES))
    identifiers = [operation["operationId"] for operation in operations]
    assert len({*identifiers}) == len(identifiers)
    assert all(operation["summary"] for operation in operations)


def test_every_component_is_used_and_exists() -> None:
    text = json.dumps(DESCRIPTION)
    for name in COMPONENTS:
        assert f'"#/components/schemas/{name}"' in text
    assert text.count("#/components/schemas/") == sum(
        text.count(f'"#/components/schemas/{name}"') for name in COMPONENTS
    )


def test_generators_of_clients_can_use_it() -> None:
    """openapi-python-client drops a schema whose enum has values of several types."""

    def enums(value: Any) -> Iterator[list[object]]:
        for member in value.values() if isinstance(value, dict) else value:
            if isinstance(member, (dict, list)):
                yield from enums(member)
        if isinstance(value, dict) and isinstance(value.get("enum"), list):
            yield value["enum"]

    found = [*enums(DESCRIPTION)]
    assert len(found) > 5
    assert all(len({type(word) for word in enum}) == 1 for enum in found)
