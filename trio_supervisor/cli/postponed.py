"""Modules that ``tsupervisord`` loads when something uses them, though others import them at once.

trio and the standard library import at their top what a plain daemon never uses: TLS, passwords,
the look into functions. That was a quarter of its memory. Here such a module is made without
running its code, which runs at the first use of one of its names, whoever uses it. What uses a name
while it is imported itself loads the module as always.

Only the program ``tsupervisord`` does this: what embeds a supervisor has its own imports.
``importlib.util.LazyLoader`` has the same purpose, but loads a module at the second import of it.

The packages of trio import names of its modules only to offer them to others. These names load
their module when somebody asks the package for them.
"""

from __future__ import annotations

import sys
from _heapq import heapify, heappop, heappush
from _queue import SimpleQueue
from _random import Random as RandomNumbers
from _thread import RLock  # that of ``threading``, which is not loaded yet
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import CoroutineType, ModuleType

TYPE_CHECKING = False  # typing's flag without importing typing: type checkers know the name
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from typing import NoReturn

#: Each with what needs it, which a plain daemon does seldom or never.
POSTPONED = {
    "attr.validators": "one of them, see below",
    "attrs.validators": "nothing: it has the names of the one above",
    "base64": "passwords",
    "ctypes": "settings of the allocator before a flood, and a step of few programs before exec",
    "ctypes.util": "names of threads, see below",
    "hashlib": "passwords, and marks of pages",
    "heapq": "the journal and searches; of trio C functions, see below",
    "hmac": "passwords",
    "http": "the reasons of seldom statuses",
    "idna": "names of hosts with letters beyond ASCII",
    "inspect": "plugins, and texts about methods",
    "ipaddress": "clients over TCP, and addresses inside URLs",
    "locale": "output of subprocesses as text, which is not asked for",
    "logging": "unexpected errors in trio",
    "pathlib": "paths of trio",
    "platform": "the name of the interpreter, see below",
    "queue": "calls from threads of others, see below",
    "random": "chances, see below",
    "secrets": "tokens of pages",
    "selectors": "output of subprocesses that is waited for",
    "shutil": "rotation of few logs",
    "ssl": "servers with certificates, and checks of https URLs",
    "tempfile": "automatic logs without childlogdir",
    "textwrap": "documentation, see below",
    "tokenize": "lines of source code in tracebacks",
    "traceback": "unexpected errors",
    "trio._dtls": "nothing",
    "trio._file_io": "nothing",
    "trio._highlevel_open_tcp_listeners": "nothing",
    "trio._highlevel_open_tcp_stream": "nothing",
    "trio._highlevel_open_unix_stream": "nothing",
    "trio._highlevel_serve_listeners": "nothing",
    "trio._highlevel_socket": "probes",
    "trio._highlevel_ssl_helpers": "nothing",
    "trio._path": "nothing",
    "trio._socket": "probes",
    "trio._ssl": "probes",
    "trio._subprocess": "nothing",
    "trio._unix_pipes": "nothing",
    "trio.socket": "probes",
    "trio_supervisor.core.config.toml": "configurations in TOML",
    "trio_supervisor.runtime.embedding.definitions": "programs that plugins and clients add",
    "trio_supervisor.runtime.events.pool": "event listeners",
    "trio_supervisor.runtime.inspect.dependencies": "clients that ask for dependencies",
    "trio_supervisor.runtime.inspect.describe": "clients that ask for details",
    "trio_supervisor.runtime.inspect.health": "clients that ask for the health of programs",
    "trio_supervisor.runtime.journal.view": "clients that read the journal",
    "trio_supervisor.runtime.logs.logread": "clients that read logs",
    "trio_supervisor.runtime.output.log_source": "clients that read logs",
    "urllib": "nothing: it is the package of the next",
    "urllib.parse": "pages",
}

#: Packages of trio that import names of its modules only to offer them to others.
OFFERING = ("trio", "trio.lowlevel")


def _is_coroutine(value: object) -> bool:
    return isinstance(value, CoroutineType)


def _get_annotations(holder: object, **options: object) -> object:
    """Answer the question of ``dataclasses`` about a class; any other one loads the module."""
    if isinstance(holder, type) and not options and sys.version_info < (3, 14):
        return dict(vars(holder).get("__annotations__", {}))
    inspect = sys.modules["inspect"]
    _load(inspect)
    return inspect.get_annotations(holder, **options)


def _no_signature(function: object) -> str:
    """Return what attrs takes for unknown, and dataclasses append to a name."""
    return ""


def _instance_of(kind: type) -> Callable[[object, object, object], None]:
    def validate(instance: object, attribute: object, value: object) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is no {kind.__name__}")

    return validate


def _python() -> str:
    return "PyPy" if sys.implementation.name == "pypy" else "CPython"


class _LateLogger:
    """A logger that is made when something is logged."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        import logging

        return getattr(logging.getLogger(self._name), name)


class _Random(RandomNumbers):
    """What trio uses of ``random.Random``; the rest when it is used."""

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def __getattr__(self, name: str) -> object:
        import random

        return getattr(random.Random, name).__get__(self)


def _poll_selector() -> object:
    import selectors

    return selectors.PollSelector()


def _refuse(*arguments: object) -> NoReturn:
    raise ValueError("not while trio is imported")


#: What trio needs for the result of each job in a thread, ``dataclasses`` from Python 3.12 on for
#: each class, and what chooses pauses, as the modules do it.
AFTER_THE_IMPORT: dict[str, dict[str, object]] = {
    "inspect": {"iscoroutine": _is_coroutine, "get_annotations": _get_annotations},
    "random": {"random": RandomNumbers().random},
}

#: What trio, attrs and dataclasses use while trio and h11 are imported. Loggers, the test of a type
#: and the name of the interpreter are as good as those of the modules. What no daemon lacks is left
#: out: documentation of classes, annotations of generated methods, and names of threads, for which
#: ``find_library`` starts ldconfig.
DURING_THE_IMPORT: dict[str, dict[str, object]] = {
    "attr.validators": {"instance_of": _instance_of},
    "heapq": {"heapify": heapify, "heappop": heappop, "heappush": heappush},
    "inspect": {**AFTER_THE_IMPORT["inspect"], "cleandoc": str, "signature": _no_signature},
    "logging": {"getLogger": _LateLogger},
    "platform": {"python_implementation": _python},
    "queue": {"SimpleQueue": SimpleQueue},
    "random": {"Random": _Random},
    "selectors": {"PollSelector": _poll_selector},
    "textwrap": {"dedent": str},
    "ctypes": {"CDLL": _refuse},
    "ctypes.util": {"find_library": lambda name: None},
}

#: Those whose code has not run, with what runs it; another loader may take its place.
waiting: dict[str, Loader] = {}
#: What they answer without being loaded.
_answers: dict[str, dict[str, object]] = {}
#: Packages that are imported now and get a promise for each name of a postponed module.
_promised: set[str] = set()
#: Held while a module is loaded: another thread that uses it waits until it is complete.
_loading = RLock()


class _Postponed(ModuleType):
    """A module whose code runs at the first use of a name that its import does not need."""

    def __getattribute__(self, name: str) -> object:
        get = super().__getattribute__
        if name.startswith("__") and name != "__all__":  # such as __spec__ and __path__
            return get(name)
        answers = _answers.get(self.__name__, {})
        if name in answers:
            return answers[name]
        if self.__name__.startswith("trio.") and _is_offered():
            return _Promise(self.__name__, name)
        if f"{self.__name__}.{name}" not in sys.modules:  # no module of a package
            _load(self)
        return get(name)


def _is_offered() -> bool:
    """Whether the name that is asked for is wanted by a package that is being imported."""
    return bool(_promised) and sys._getframe(2).f_globals["__name__"] in _promised


class _Promise:
    """A name of a module, until somebody asks for it the package that offers it."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def keep(self, package: str) -> object:
        value = getattr(import_module(self._module), self._name)
        if getattr(value, "__module__", None) == self._module:
            value.__module__ = package  # as trio does it: users know it by this name
        return value


def _offer(package: ModuleType) -> None:
    """Let a package keep its promises at the first use of their names."""
    names = vars(package)
    promises = {name: value for name, value in names.items() if isinstance(value, _Promise)}
    for name in promises:
        del names[name]
    otherwise: Callable[[str], object] | None = names.get("__getattr__")

    def find(name: str) -> object:
        if name in promises:
            names[name] = value = promises[name].keep(package.__name__)
            return value
        if otherwise is None:
            raise AttributeError(f"module {package.__name__!r} has no attribute {name!r}")
        return otherwise(name)

    names["__getattr__"] = find


def import_dependencies() -> None:
    """Postpone the modules that have not been loaded, and import trio and h11.

    Raises ImportError if one of them or what it needs is missing.
    """
    _answers.update(DURING_THE_IMPORT)
    for name in POSTPONED:
        if name not in sys.modules:
            _postpone(name)
    _promised.update(OFFERING)
    import linecache  # which imports a postponed one
    import subprocess  # noqa: F401  # as well; for those that start programs

    import h11  # noqa: F401  # for the others that import it
    import trio  # noqa: F401  # as well

    linecache.clearcache()  # attrs leaves the text of all methods there that it generates
    _promised.clear()
    for package in OFFERING:
        if package in sys.modules:
            _offer(sys.modules[package])
    for name in waiting:
        _attach(name)  # the modules of packages that have been imported now
    _answers.clear()
    _answers.update(AFTER_THE_IMPORT)


def load_all() -> None:
    """Load those that have not been used yet. Raises what their imports would raise."""
    for name in [*waiting]:
        _load(sys.modules[name])


def _postpone(name: str) -> None:
    spec = _find(name)
    if spec is None or spec.loader is None:
        return  # whoever needs it will say so
    module = module_from_spec(spec)
    module.__class__ = _Postponed
    sys.modules[name] = module
    waiting[name] = spec.loader
    _attach(name)


def _attach(name: str) -> None:
    """Make a module an attribute of its package, if that has been imported."""
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, sys.modules[name])


def _find(name: str) -> ModuleSpec | None:
    """Return what ``find_spec`` returns, but without the import of the package of a module."""
    parent = name.rpartition(".")[0]
    if not parent:
        return PathFinder.find_spec(name)
    package = _find(parent)
    return package and PathFinder.find_spec(name, package.submodule_search_locations)


def _load(module: ModuleType) -> None:
    name = module.__name__
    with _loading:
        if name not in waiting:
            return  # another thread has loaded it, or it uses itself while it is loaded
        loader = waiting.pop(name)
        try:
            loader.exec_module(module)
        except BaseException:
            waiting[name] = loader
            raise
        module.__class__ = ModuleType
