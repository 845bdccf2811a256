"""Modules that a running daemon imports late, as they were at its start.

A daemon imports much when it is first needed: pages, what few options use, the upgrade. By then

* the installation may hold another version, whose modules do not fit those that are loaded;
* no descriptor may be left to open a file;
* the user that the daemon has become may be unable to read it.

So the sources of all these modules are kept from the start on, compressed (370 KiB), and an import
uses them where the file has changed or cannot be read. Otherwise it is an import as any other, from
the interpreter's cache.
"""

from __future__ import annotations

import os
import sys
import zlib
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING, NamedTuple

import trio_supervisor
from trio_supervisor.cli import postponed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType

PACKAGE = trio_supervisor.__name__
#: What is needed by a running daemon only, not by its other actions or by embedding programs.
PARTS = ("core", "runtime", "web", "cli.adoption", "cli.upgrade", "cli.service_manager")
NOT_NEEDED = ("core.export", "runtime.embedding")
#: Of others: what reports of errors and clients over TCP need at any time, and what fits only the
#: modules of trio that are loaded.
OTHERS = ("traceback", "textwrap", "ipaddress", "trio")
_INIT = ".__init__"
#: Of compression: 370 KiB; the usual one makes 330 KiB in twice the time.
LEVEL = 3


class Kept(NamedTuple):
    """One module: its file as it was, and its place in the source of all."""

    path: str
    changed: int
    """When the file was changed; ns."""
    begin: int
    size: int
    """Bytes."""


class LateLoader(SourceFileLoader):
    """Loads one of these modules; ``sources`` is the compressed source of all."""

    def __init__(self, name: str, kept: Kept, sources: bytes) -> None:
        super().__init__(name, kept.path)
        self._kept = kept
        self._sources = sources

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code, from the file if that is as it was and can be read."""
        kept = self._kept
        with suppress(OSError):
            status = os.stat(kept.path)
            if (status.st_mtime_ns, status.st_size) == (kept.changed, kept.size):
                return super().get_code(fullname)
        source = zlib.decompress(self._sources)[kept.begin : kept.begin + kept.size]
        return self.source_to_code(source, kept.path)


class LateModules:
    """Finder of the modules that were not loaded yet when it was made."""

    def __init__(self) -> None:
        packer, parts, begin = zlib.compressobj(LEVEL), [], 0
        self._kept: dict[str, Kept] = {}
        for name, path in (*_late_files(), *_postponed_files()):
            try:
                with open(path, "rb") as file:
                    source, changed = file.read(), os.fstat(file.fileno()).st_mtime_ns
            except OSError:  # its import tells that, if there ever is one
                continue
            self._kept[name] = Kept(path, changed, begin, len(source))
            begin += len(source)
            parts.append(packer.compress(source))
        self._sources = b"".join((*parts, packer.flush()))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load one of these modules; None: it is none of them."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        return spec_from_file_location(name, kept.path, loader=self.loader(name))

    def loader(self, name: str) -> LateLoader:
        """Return what loads one of these modules."""
        return LateLoader(name, self._kept[name], self._sources)


def keep_late_modules() -> None:
    """Keep the modules that are not loaded yet, for all imports from now on."""
    modules = LateModules()
    sys.meta_path.insert(0, modules)
    for name, _ in _postponed_files():
        postponed.waiting[name] = modules.loader(name)


def _late_files() -> Iterator[tuple[str, str]]:
    """Find the modules that are not loaded: name and path of each."""
    for root in trio_supervisor.__path__:
        for directory, _, files in os.walk(root):
            place = os.path.relpath(directory, root).replace(os.sep, ".")
            for file in files:
                part = f"{place}.{file.removesuffix('.py')}".removesuffix(_INIT)
                name = f"{PACKAGE}.{part}"
                wanted = _is_within(part, PARTS) and not _is_within(part, NOT_NEEDED)
                if wanted and file.endswith(".py") and name not in sys.modules:
                    yield name, os.path.join(directory, file)


def _postponed_files() -> list[tuple[str, str]]:
    """Find the postponed modules that are kept: name and path of each."""
    return [
        (name, loader.path)
        for name, loader in postponed.waiting.items()
        if _is_within(name, (PACKAGE, *OTHERS))
        if isinstance(loader, SourceFileLoader)
    ]


def _is_within(part: str, packages: Sequence[str]) -> bool:
    return any(part == package or part.startswith(f"{package}.") for package in packages)
