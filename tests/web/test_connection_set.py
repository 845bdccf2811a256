"""How many descriptors are left for HTTP clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trio_supervisor.web.connection_set import (
    FOR_UNIX,
    LEAST,
    OWN,
    PER_PROCESS,
    SPARE,
    descriptors_for_connections,
)


def test_clients_get_what_the_programs_leave() -> None:
    assert descriptors_for_connections(1024, 0) == 1024 - OWN - SPARE
    assert descriptors_for_connections(1024, 100) == 1024 - OWN - SPARE - 100 * PER_PROCESS


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_some_are_let_in_in_any_case(limit: int, processes: int) -> None:
    assert descriptors_for_connections(limit, processes) >= LEAST > FOR_UNIX
