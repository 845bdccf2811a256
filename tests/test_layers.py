"""The structure of the package: directions of imports, and the size and names of its parts.

cli and web import runtime, runtime imports core, core imports nothing that touches the outside.
There are no cycles, no star imports, and no imports inside functions except those listed here. A
class has at most MOST_METHODS methods, a small module has more than one importer, and a class name
is used once. The client and the package start without trio.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import trio_supervisor
from tests.kit.imports import Import, imports, is_within, modules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

PACKAGE = Path(trio_supervisor.__file__).parent
NAME = "trio_supervisor"

#: What a command must not load when it has to start in a few milliseconds.
SLOW = ("trio", "h11", "dataclasses", "typing", "xmlrpc", "http", "logging", "json")


@dataclass(frozen=True)
class Rule:
    """What modules must never import."""

    where: tuple[str, ...]
    """Patterns of dotted names below the package."""
    never: tuple[str, ...]
    unless: tuple[str, ...] = ()
    but_not_in: tuple[str, ...] = ()
    even_for_typing: bool = True
    """The direction of knowledge counts for annotations too; start time does not."""


OUTSIDE = ("os", "io", "socket", "subprocess", "threading", "time", "fcntl", "select")

RULES = (
    Rule(
        where=("core", "core.*"),
        never=(
            *("trio", "h11", "logging", "argparse", *OUTSIDE),
            *(f"{NAME}.runtime", f"{NAME}.web", f"{NAME}.cli"),
        ),
    ),
    Rule(
        where=("runtime", "runtime.*"),
        never=("h11", "defusedxml", "argparse", f"{NAME}.web", f"{NAME}.cli"),
    ),
    Rule(where=("web", "web.*"), never=("subprocess", "argparse", f"{NAME}.cli")),
    Rule(
        where=("cli.ctl*", "cli.client*", "cli.flags", "cli.pidproxy"),
        never=(*SLOW, f"{NAME}.runtime", f"{NAME}.web", f"{NAME}.core"),
        unless=(
            *(
                f"{NAME}.core.{module}"
                for module in ("config.search", "escape", "numbers", "process.states")
            ),
            *("json", "xmlrpc"),  # see below
        ),
        even_for_typing=False,
    ),
    Rule(
        where=("cli.ctl*", "cli.client*", "cli.flags", "cli.pidproxy"),
        never=("json",),
        but_not_in=(
            "cli.ctl.events",
            "cli.ctl.json",
            "cli.ctl.logs",
        ),  # imported by the commands that need it, and no others
        even_for_typing=False,
    ),
    Rule(
        where=("cli.ctl*", "cli.client*", "cli.flags", "cli.pidproxy"),
        never=("xmlrpc",),
        but_not_in=("cli.ctl.controller",),  # plugins catch the errors of that module
        even_for_typing=False,
    ),
    Rule(  # that of core.dataclass instead: a hundred of these would make each start slower
        where=("*",), never=("dataclasses.dataclass",), but_not_in=("core.dataclass",)
    ),
    Rule(where=("childutils",), never=("trio", "h11", "defusedxml", "tomli_w", NAME)),
)


@dataclass(frozen=True)
class Lazy:
    """An import inside a function that has a reason."""

    where: str
    target: str
    why: str


LAZY = (
    Lazy("__main__", f"{NAME}.cli.daemon*", "what it imports is postponed first"),
    Lazy("cli.postponed", "h11", "what it imports is postponed first"),
    Lazy("cli.postponed", "linecache", "what it imports is postponed first"),
    Lazy("cli.postponed", "subprocess", "what it imports is postponed first"),
    Lazy("cli.postponed", "logging", "it is one of the modules that are postponed"),
    Lazy("cli.postponed", "random*", "it is one of the modules that are postponed"),
    Lazy("cli.postponed", "selectors", "it is one of the modules that are postponed"),
    Lazy("cli.postponed", "trio", "what it imports is postponed first"),
    Lazy("", "importlib.import_module", "public names are imported on first use (PEP 562)"),
    Lazy("core.xmlrpc", "defusedxml*", "needed only for an XML request"),
    Lazy("core.xmlrpc", "xml.parsers*", "needed only for an XML request"),
    Lazy("core.xmlrpc", "datetime*", "few calls have a date"),
    Lazy("core.config.converters", f"{NAME}.core.config.probes*", "few programs have policies"),
    Lazy("core.config.lint", f"{NAME}.core.config.ineffective*", "few programs have policies"),
    Lazy("core.process.record", f"{NAME}.core.process.probing*", "few programs have policies"),
    Lazy("core.process.reasons", f"{NAME}.core.process.probing*", "few programs have policies"),
    Lazy("runtime.process.base", f"{NAME}.runtime.probes*", "few programs have policies"),
    Lazy("runtime.host", f"{NAME}.runtime.probes*", "few programs have policies"),
    Lazy("core.config.toml", "tomllib", "most configurations are INI files"),
    Lazy(
        "runtime.spawn.steps", "resource", "every fork gets slower; for children with limits only"
    ),
    Lazy("runtime.spawn.steps", "ctypes", "as slow, and for children with such a step only"),
    Lazy("runtime.process.driver", f"{NAME}.runtime.process.hooks*", "few programs have hooks"),
    Lazy("runtime.system.idle_wait", "trio._core*", "another version of trio may not have it"),
    Lazy("runtime.process.hooks", f"{NAME}.runtime.spawn.sweep*", "few programs need it"),
    *(
        Lazy(where, f"{NAME}.core.cgroups*", "few programs need it")
        for where in ("runtime.groups.group", "runtime.inspect.describe")
    ),
    *(
        Lazy(where, f"{NAME}.runtime.process.left_behind*", "most programs leave nothing behind")
        for where in ("runtime.spawn.starter", "runtime.inspect.describe")
    ),
    Lazy("runtime.spawn.child", f"{NAME}.runtime.spawn.members*", "as above"),
    Lazy("runtime.host", f"{NAME}.runtime.inspect.own_memory*", "few programs need it"),
    Lazy("runtime.process.driver", f"{NAME}.runtime.process.memory_limit*", "few programs need it"),
    Lazy("runtime.events.bus", f"{NAME}.runtime.events.back_pressure*", "few programs ask for it"),
    Lazy("runtime.groups.group", f"{NAME}.runtime.groups.scaling*", "few groups are scaled"),
    Lazy("runtime.process.hooks", f"{NAME}.runtime.spawn.tree*", "few programs need it"),
    Lazy("runtime.spawn.starter", f"{NAME}.runtime.spawn.tree*", "few programs need it"),
    Lazy("runtime.spawn.starter", f"{NAME}.runtime.spawn.environment*", "few programs need it"),
    *(
        Lazy(where, f"{NAME}.*.dependencies.*", "few configurations have dependencies")
        for where in (
            *("core.config.build", "runtime.groups.coordination", "runtime.groups.operations"),
            "runtime.groups.stop_timeout",
        )
    ),
    Lazy(
        "runtime.journal.journal",
        f"{NAME}.runtime.journal.disk*",
        "loads sqlite3, which takes memory, and few configurations keep the journal on disk",
    ),
    Lazy(
        "runtime.supervisor", f"{NAME}.runtime.groups.stop_timeout*", "few daemons have this option"
    ),
    Lazy("cli.daemon_run", f"{NAME}.runtime.process.leftover_stop*", "few daemons need it"),
    Lazy("runtime.spawn.spec", f"{NAME}.runtime.spawn.owned*", "few daemons need it"),
    Lazy(
        "runtime.process.emergency_stop",
        f"{NAME}.runtime.spawn.foreign_process*",
        "few daemons need it",
    ),
    Lazy("runtime.spawn.leftovers", "datetime*", "most starts find no leftovers"),
    Lazy("runtime.logs.sinks", f"{NAME}.runtime.logs.journald*", "few programs log there"),
    Lazy("core.line_records", "json*", "for the format json only"),
    Lazy("runtime.output.channel", f"{NAME}.core.line_records*", "most programs log raw bytes"),
    Lazy("runtime.output.channel", f"{NAME}.runtime.output.records*", "as above"),
    Lazy("runtime.output.channel", f"{NAME}.runtime.output.transfer*", "most programs never flood"),
    Lazy("runtime.logs.worker", f"{NAME}.runtime.logs.ready_pipes*", "as above"),
    Lazy("runtime.output.targets", f"{NAME}.runtime.logs.missing*", "few daemons miss a log"),
    Lazy("web.app", f"{NAME}.web.pages*", "most daemons are never asked for a page"),
    Lazy("web.app", f"{NAME}.web.api*", "most daemons are never asked by the JSON API"),
    Lazy("web.message", "html*", "its table of entities takes memory; for error pages only"),
    Lazy("web.pages.assets", "email.utils*", "takes memory; for pages only"),
    Lazy("web.pages.assets", "importlib.resources*", "takes memory; for pages only"),
    Lazy("pytest_plugin", f"{NAME}.testing*", "pytest loads the plugin also where nobody uses it"),
    Lazy("cli.daemon_run", f"{NAME}.cli.upgrade*", "most daemons are never upgraded"),
    Lazy("cli.daemon_run", f"{NAME}.cli.adoption*", "few daemons need it"),
    Lazy("cli.upgrade*", f"{NAME}.cli.service_manager*", "few daemons have one"),
    Lazy("cli.upgrade*", f"{NAME}.runtime.cgroups*", "few daemons have some"),
    Lazy("web.handover", f"{NAME}.web.pages*", "most daemons are never asked for a page"),
    Lazy("cli.daemon", "*", "a running daemon needs nothing of what other actions import"),
    Lazy("runtime.system.malloc", "_ctypes", "takes memory, and needed only with many programs"),
    Lazy(
        "cli.client.client", "urllib.parse*", "slow, and needed only for credentials inside a URL"
    ),
    Lazy(
        "cli.client.client",
        "trio_supervisor.cli.client.tls*",
        "loads ssl, which is slow, for https",
    ),
    Lazy("cli.client.client", "socket*", "a tenth of a run, and needed only for TCP"),
    Lazy("cli.client.*", "binascii*", "slow to load, and needed only for passwords and base64"),
    Lazy("cli.ctl*", "*", "the client starts fast: what few commands need is imported there"),
)


def below(package: Path, module: str) -> str:
    """The module's dotted name without the package's."""
    return module.removeprefix(package.name).removeprefix(".")


def imported_module(found: Import, known: Collection[str]) -> str:
    """The module of the package that an import loads, or the name of something outside of it."""
    return found.target if found.target in known else found.target.rpartition(".")[0]


def wrong_directions(package: Path) -> list[str]:
    def breaks(rule: Rule, found: Import) -> bool:
        return (
            any(fnmatchcase(below(package, found.importer), where) for where in rule.where)
            and below(package, found.importer) not in rule.but_not_in
            and (rule.even_for_typing or not found.typing_only)
            and is_within(found.target, *rule.never)
            and not is_within(found.target, *rule.unless)
        )

    return [str(found) for found in imports(package) for rule in RULES if breaks(rule, found)]


def cycles(package: Path) -> list[str]:
    """The first cycle of modules, if there is any.

    Imports for typing only count too: two modules that need each other's types are one thought.
    """
    known = modules(package)
    graph: dict[str, set[str]] = {name: set() for name in known}
    for found in imports(package):
        module = imported_module(found, known)
        if module != package.name:  # it names the public API, whose homes import its version
            graph[found.importer] |= {module} & known.keys()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def star_imports(package: Path) -> list[str]:
    return [str(found) for found in imports(package) if found.target.endswith(".*")]


def imports_in_functions(package: Path) -> list[str]:
    def is_allowed(found: Import) -> bool:
        return any(
            fnmatchcase(below(package, found.importer), lazy.where)
            and fnmatchcase(found.target, lazy.target)
            for lazy in LAZY
        )

    return [str(found) for found in imports(package) if found.in_function and not is_allowed(found)]


#: A class with more methods has more than one job. The largest of the package that are one thing,
#: such as a process or one HTTP connection, have 16 to 19.
MOST_METHODS = 20

#: Classes whose public methods are an API for programs that embed the supervisor and so stay in one
#: class. Only their private methods are counted.
FACADES = ("runtime.supervisor.Supervisor",)

#: A module of fewer lines is not worth a file of its own if only one other module imports it.
SMALL_MODULE = 40


def classes(package: Path) -> Iterator[tuple[str, ast.ClassDef]]:
    """All classes of the package, each with the dotted name of its module below the package."""
    for module, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield below(package, module), node


def large_classes(package: Path) -> list[str]:
    """Classes with more than MOST_METHODS methods of their own.

    Methods of Python's protocols (``__x__``) do not count, nor do properties, which are values.
    Overloads of a method count once.
    """

    def methods(module: str, node: ast.ClassDef) -> set[str]:
        return {
            method.name
            for method in node.body
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            if not method.name.startswith("__")
            if not any(ast.unparse(decorator) == "property" for decorator in method.decorator_list)
            if method.name.startswith("_") or f"{module}.{node.name}" not in FACADES
        }

    return [
        f"{module}.{node.name} has {count} methods"
        for module, node in classes(package)
        if (count := len(methods(module, node))) > MOST_METHODS
    ]


def small_modules(package: Path) -> list[str]:
    """Modules of fewer than SMALL_MODULE lines that a single other module imports."""
    known = modules(package)
    importers: dict[str, set[str]] = defaultdict(set)
    for found in imports(package):
        importers[imported_module(found, known)].add(found.importer)
    return [
        f"{below(package, module)} has {lines} lines and belongs to {importer}"
        for module, path in known.items()
        if path.name != "__init__.py" and len(importers[module]) == 1
        for importer in importers[module]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) < SMALL_MODULE
    ]


def repeated_class_names(package: Path) -> list[str]:
    """Class names that are defined more than once, each with its modules."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, node in classes(package):
        found[node.name].append(module)
    return [f"{name}: {', '.join(where)}" for name, where in found.items() if len(where) > 1]


CHECKS = (
    *(wrong_directions, cycles, star_imports, imports_in_functions),
    *(large_classes, small_modules, repeated_class_names),
)


@pytest.mark.parametrize("check", CHECKS)
def test_package_keeps(check: Callable[[Path], list[str]]) -> None:
    assert check(PACKAGE) == []


@pytest.mark.parametrize("module", [NAME, f"{NAME}.cli.ctl.main"])
def test_import_loads_nothing_slow(module: str) -> None:
    """What the interpreter itself has loaded at its start does not count."""
    script = (
        f"import sys; before = set(sys.modules); import {module}; print(*{{*sys.modules}} - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    loaded = set(done.stdout.split())
    assert module in loaded
    assert {name for name in loaded if is_within(name, *SLOW)} == set()


#: What a running daemon needs seldom or never: a megabyte and more, for months.
LOADED_LATE = (
    *(
        "calendar",
        "cProfile",
        "datetime",
        "email",
        "getpass",
        "gzip",
        "html",
        "importlib.resources",
    ),
    *("json", "profile", "sqlite3", "pstats", "tomli_w", "tomllib", "xml", "defusedxml"),
    *(f"{NAME}.cli.{name}" for name in ("check", "convert", "demo", "export")),
    *(f"{NAME}.cli.upgrade.{name}" for name in ("arrival", "departure", "program", "upgrader")),
    *(f"{NAME}.core.handover", f"{NAME}.runtime.handover", f"{NAME}.web.handover"),
    *(
        f"{NAME}.{name}"
        for name in ("core.config.probes", "core.process.probing", "runtime.probes")
    ),
    f"{NAME}.web.api",
    *(
        f"{NAME}.web.pages.{name}"
        for name in ("layout", "lines_page", "live", "log_page", "status_page")
    ),
    *(f"{NAME}.{name}" for name in ("core.logs", "runtime.logs.history", "runtime.logs.search")),
    f"{NAME}.runtime.output.log_lines",
)


def loaded_by(script: str) -> set[str]:
    """Run a script in a fresh interpreter; return the modules that it has loaded."""
    script = f"import sys\n{script}\nprint(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path}\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_a_daemon_that_has_started_has_not_loaded_what_is_needed_late() -> None:
    loaded = loaded_by(f"import {NAME}.cli.daemon")
    assert f"{NAME}.web.app" in loaded
    assert {name for name in loaded if is_within(name, *LOADED_LATE)} == set()


def test_a_daemon_that_changes_its_user_loads_before_what_it_needs_late() -> None:
    """The other user may be unable to read the files of these modules."""
    late = {
        imported_module(found, modules(PACKAGE)) or found.target
        for found in imports(PACKAGE)
        if found.in_function
        and below(PACKAGE, found.importer).startswith(("core", "runtime", "web", "cli.upgrade"))
    }
    assert len(late) > 40
    loaded_by(
        f"import importlib, importlib.machinery as m\n"
        f"from {NAME}.cli.postponed import import_dependencies\n"
        "import_dependencies()\n"
        f"import {NAME}.cli.daemon as d, {NAME}.cli.privileges as p\n"
        "d.keep_late_modules()\n"
        "p.load_what_is_read_late(journal=True)\n"
        "del sys.meta_path[1:]\n"
        "def unreadable(*_): raise PermissionError\n"
        "m.SourceFileLoader.get_code = unreadable\n"
        f"for name in {sorted(late)}: importlib.import_module(name)"
    )


def test_a_daemon_that_has_changed_its_user_can_look_up_an_address() -> None:
    """The interpreter imports a codec for the first one, even where it is a number."""
    loaded_by(
        f"import socket, {NAME}.cli.daemon as d, {NAME}.cli.privileges as p\n"
        "p.load_what_is_read_late()\n"
        "sys.meta_path.clear()  # no module can be read any more\n"
        "socket.getaddrinfo('127.0.0.1', 80)"
    )


SOUND = {
    "__init__.py": "def f():\n    from importlib import import_module\n",
    "core/process/states.py": "import enum\n",
    "runtime/a.py": "import os\nimport trio\nfrom trio_supervisor.core.process import states\n",
    "runtime/b.py": "from trio_supervisor.runtime import a\n",
    "runtime/c.py": "from . import b\n",
    "web/server.py": (
        "import os, h11\nfrom trio_supervisor.runtime.a import A\nclass Server:\n"
        + "".join(f"    def f{number}(self): ...\n" for number in range(MOST_METHODS))
        + "".join(f"    @property\n    def p{number}(self): ...\n" for number in range(3))
        + "    def __init__(self): ...\n"
    ),
    "runtime/supervisor.py": (
        "class Supervisor:\n"
        + "".join(f"    def f{number}(self): ...\n" for number in range(MOST_METHODS + 1))
    ),
    "cli/daemon.py": "import argparse\nimport trio\nfrom trio_supervisor.web import server\n",
    "cli/ctl/main.py": (
        "from trio_supervisor.core.process.states import State\n"
        "if TYPE_CHECKING:\n    from typing import Any\n"
        "def f():\n    import readline\n"
    ),
    "core/xmlrpc.py": "def f():\n    from defusedxml.ElementTree import XMLParser\n",
}
# Of a size that a module with one importer may have.
SOUND = {path: source + "\n" * SMALL_MODULE for path, source in SOUND.items()}

_METHODS = "".join(f"    async def f{number}(self): ...\n" for number in range(MOST_METHODS + 1))

VIOLATIONS = [
    pytest.param(wrong_directions, "core/a.py", "import os.path", id="core-os"),
    pytest.param(wrong_directions, "core/a.py", "from time import monotonic", id="core-time"),
    pytest.param(wrong_directions, "core/a.py", "from ..runtime import b", id="core-relative"),
    pytest.param(wrong_directions, "core/a.py", "def f():\n    import trio", id="core-lazy"),
    pytest.param(
        wrong_directions, "core/a.py", "if TYPE_CHECKING:\n    import trio", id="core-typing"
    ),
    pytest.param(wrong_directions, "core/__init__.py", "import io", id="core-init"),
    pytest.param(wrong_directions, "runtime/d.py", "import h11", id="runtime-h11"),
    pytest.param(wrong_directions, "runtime/d.py", "from ..web import server", id="runtime-web"),
    pytest.param(wrong_directions, "web/d.py", "from ..cli import daemon", id="web-cli"),
    pytest.param(wrong_directions, "web/d.py", "import subprocess", id="web-subprocess"),
    pytest.param(wrong_directions, "cli/ctl/x.py", "import json", id="client-json"),
    pytest.param(
        wrong_directions, "cli/ctl/x.py", "from ...core.config import ini", id="client-core"
    ),
    pytest.param(
        wrong_directions, "cli/client/client.py", "from ...runtime.a import A", id="client-up"
    ),
    pytest.param(wrong_directions, "cli/pidproxy.py", "from typing import Any", id="pidproxy"),
    pytest.param(wrong_directions, "childutils.py", "from .core import states", id="childutils"),
    pytest.param(cycles, "runtime/a.py", "from trio_supervisor.runtime.b import B", id="cycle"),
    pytest.param(cycles, "runtime/a.py", "def f():\n    from . import c", id="cycle-lazy"),
    pytest.param(
        cycles,
        "runtime/a.py",
        "if TYPE_CHECKING:\n    from trio_supervisor.runtime.b import B",
        id="cycle-typing",
    ),
    pytest.param(star_imports, "cli/a.py", "from os import *", id="star"),
    pytest.param(imports_in_functions, "cli/a.py", "def f():\n    import os", id="lazy"),
    pytest.param(
        imports_in_functions,
        "runtime/d.py",
        "class C:\n    async def f(self):\n        if self:\n            from os import path",
        id="lazy-deep",
    ),
    pytest.param(
        imports_in_functions, "core/xmlrpc.py", "def f():\n    import gzip", id="lazy-other"
    ),
    pytest.param(
        large_classes,
        "web/d.py",
        "class C:\n" + _METHODS,
        id="large-class",
    ),
    pytest.param(
        large_classes,
        "runtime/supervisor.py",
        "class Supervisor:\n" + _METHODS.replace("def f", "def _f"),
        id="large-facade",
    ),
    pytest.param(small_modules, "runtime/b.py", "import os", id="small-module"),
    pytest.param(repeated_class_names, "cli/a.py", "class Server: ...", id="class-name"),
]


def write_package(directory: Path, files: dict[str, str]) -> Path:
    package = directory / NAME
    for path, source in files.items():
        target = package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source)
    return package


@pytest.mark.parametrize("check", CHECKS)
def test_check_accepts_a_sound_package(check: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert check(write_package(tmp_path, SOUND)) == []


@pytest.mark.parametrize(("check", "path", "source"), VIOLATIONS)
def test_check_finds_a_violation(
    check: Callable[[Path], list[str]], path: str, source: str, tmp_path: Path
) -> None:
    [found] = check(write_package(tmp_path, {**SOUND, path: source}))
    assert path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") in found
