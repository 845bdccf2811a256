"""Source of the configuration of a supervisor, which is read again while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_supervisor.core.errors import CantReread, ConfigError, ServerError
from trio_supervisor.runtime.system.threads import NoThread, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_supervisor.core.config.model import Config


class ConfigSource:
    """Reads the configuration in worker threads.

    ``load`` returns it or raises ConfigError; None means there is no file. ``prepare`` makes ready
    what a restart needs that can fail; it raises ConfigError or ServerError.
    """

    def __init__(
        self, load: Callable[[], Config] | None, prepare: Callable[[Config], None]
    ) -> None:
        self._load = load
        self._prepare = prepare
        # A file that hangs takes one thread at most, and none of those that others need.
        self._limiter = trio.CapacityLimiter(1)

    async def read(self) -> Config:
        """Read the configuration again. Raises CantReread."""
        if self._load is None:
            raise CantReread("this supervisor was not made from a configuration file")
        try:
            # Reading changes nothing: the end of the supervisor does not wait for a hanging disk.
            return await in_thread(self._load, abandon_on_cancel=True, limiter=self._limiter)
        except NoThread as error:
            raise CantReread(str(error.strerror)) from error
        except ConfigError as error:
            raise CantReread(error.placed) from error

    async def make_ready(self, config: Config) -> None:
        """Prepare a restart with this configuration. Raises CantReread."""
        try:
            await trio.to_thread.run_sync(self._prepare, config, limiter=self._limiter)
        except (ConfigError, ServerError) as error:
            text = error.placed if isinstance(error, ConfigError) else str(error)
            raise CantReread(text) from error
