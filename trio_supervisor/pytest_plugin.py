"""The pytest plugin of this package: programs for tests, as a fixture.

Pytest loads it in every environment in which the package is installed, so it imports nothing more
until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from trio_supervisor.testing import Programs

#: Where a test item keeps the programs that it can use.
_PROGRAMS = pytest.StashKey["Programs"]()


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Iterator[Programs]:
    """Programs that are started by the tests and stopped at the end of the session.

    Each worker of pytest-xdist has its own.
    """
    from trio_supervisor.testing import supervised_programs

    with supervised_programs() as started:
        request.session.stash[_PROGRAMS] = started
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last output of the programs beside a failure."""
    report = yield
    if report.failed and (started := item.session.stash.get(_PROGRAMS, None)) is not None:
        for program in started:
            report.sections.append((f"output of {program.name}", program.output))
    return report
