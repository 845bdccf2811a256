"""Modules that the program ``tsupervisord`` loads at their first use."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import PATIENCE, daemon
from trio_supervisor.cli.postponed import POSTPONED

#: Libraries that a daemon maps into its memory only with these modules.
LIBRARIES = ("libcrypto", "libssl", "libffi", "libbz2", "liblzma", "_ssl.", "_hashlib.", "_ctypes.")

#: What makes the modules late, and tells which of them are.
START = """
import sys
from trio_supervisor.cli import postponed
def late():
    return {name for name in postponed.POSTPONED if name in postponed.waiting}
"""


def output(script: str, *paths: Path) -> str:
    """Run a script in a fresh interpreter, which has loaded nothing for this environment."""
    paths_first = [*map(str, paths), *sys.path]
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:] = {paths_first}\n{script}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_daemon_that_has_started_has_loaded_none_of_them() -> None:
    script = f"{START}\npostponed.import_dependencies()\nimport trio_supervisor.cli.daemon\n"
    assert set(output(script + "print(*late())").split()) == POSTPONED.keys()


def test_a_plain_daemon_with_a_program_and_a_client_maps_none_of_their_libraries(
    tmp_path: Path,
) -> None:
    with daemon(tmp_path, "[program:x]\ncommand=/bin/sleep 1000\n") as running:
        running.wait_for("x", "RUNNING")
        mapped = Path(f"/proc/{running.process.pid}/maps").read_text()
    assert "python" in mapped
    assert [library for library in LIBRARIES if library in mapped] == []


#: Objects of classes that were replaced while they were made. Without a search for garbage during
#: the imports 1,900 are kept, which take almost a megabyte.
GARBAGE = 500


def test_a_daemon_keeps_little_garbage_of_its_imports() -> None:
    script = """
import gc, sys
from trio_supervisor.__main__ import main
sys.argv = ["tsupervisord", "--version"]
try:
    main()
except SystemExit:
    gc.unfreeze()
    print(gc.collect(), gc.get_threshold()[0])
"""
    _, garbage, threshold = output(script).split()
    assert int(garbage) < GARBAGE
    assert int(threshold) == gc.get_threshold()[0]


#: For each module something that works only when all of it has been loaded.
USES = {
    "attr.validators": "module.in_('x') and module.instance_of(int)",
    "attrs.validators": "module.in_('x')",
    "base64": "module.b64encode(b'x') == b'eA=='",
    "ctypes": "module.CDLL(None).getpid() > 1",
    "ctypes.util": "module.find_library('no library') is None",
    "hashlib": "module.sha1(b'x').digest_size == 20",
    "heapq": "[*module.merge([2], [1])] == [1, 2]",
    "hmac": "module.compare_digest(b'x', b'x')",
    "http": "module.HTTPStatus(404).phrase == 'Not Found'",
    "idna": "module.encode('x') == b'x'",
    "inspect": "[*module.signature(lambda x: x).parameters] == ['x']",
    "ipaddress": "module.ip_address('::1').is_loopback",
    "locale": "module.getlocale()",
    "logging": "module.getLogger('x').name == 'x'",
    "pathlib": "module.Path('x').name == 'x'",
    "platform": "module.uname().system == 'Linux'",
    "queue": "module.Queue().empty()",
    "random": "module.choice('x') == 'x'",
    "secrets": "len(module.token_bytes(3)) == 3",
    "selectors": "module.DefaultSelector().close() is None",
    "shutil": "module.which('sh')",
    "ssl": "module.create_default_context().verify_mode == module.CERT_REQUIRED",
    "tempfile": "module.gettempdir()",
    "textwrap": "module.indent('x', ' ') == ' x'",
    "tokenize": "module.NUMBER",
    "traceback": "module.format_exc() == 'NoneType: None\\n'",
    "trio._dtls": "callable(module.DTLSEndpoint)",
    "trio._file_io": "callable(module.open_file)",
    "trio._highlevel_open_tcp_listeners": "callable(module.open_tcp_listeners)",
    "trio._highlevel_open_tcp_stream": "callable(module.open_tcp_stream)",
    "trio._highlevel_open_unix_stream": "callable(module.open_unix_socket)",
    "trio._highlevel_serve_listeners": "callable(module.serve_listeners)",
    "trio._highlevel_socket": "callable(module.SocketStream)",
    "trio._highlevel_ssl_helpers": "callable(module.open_ssl_over_tcp_stream)",
    "trio._path": "module.Path('x').name == 'x'",
    "trio._socket": "callable(module.SocketType)",
    "trio._ssl": "callable(module.SSLStream)",
    "trio._subprocess": "callable(module.run_process)",
    "trio._unix_pipes": "callable(module.FdStream)",
    "trio.socket": "module.SOCK_STREAM",
    "trio_supervisor.core.config.toml": "callable(module.read_toml)",
    "trio_supervisor.runtime.inspect.dependencies": "callable(module.dependencies)",
    "trio_supervisor.runtime.inspect.describe": "callable(module.details)",
    "trio_supervisor.runtime.inspect.health": "callable(module.wait_for_states)",
    "trio_supervisor.runtime.journal.view": "module.MOST_ENTRIES",
    "trio_supervisor.runtime.embedding.definitions": "callable(module.program)",
    "trio_supervisor.runtime.events.pool": "callable(module.Pool)",
    "trio_supervisor.runtime.logs.logread": "module.ANSWER_LIMIT > 0",
    "trio_supervisor.runtime.output.log_source": "callable(module.find_log)",
    "urllib": "not hasattr(module, 'x')",
    "urllib.parse": "module.quote('/ ') == '/%20'",
}


@pytest.mark.parametrize("name", POSTPONED)
def test_a_module_is_loaded_by_its_first_use(name: str) -> None:
    script = f"""{START}
postponed.import_dependencies()
import trio_supervisor.cli.daemon
from importlib import import_module
module = import_module({name!r})
assert {name!r} in late()
assert {USES[name]}
print(*late())
"""
    assert name not in output(script).split()


def test_who_has_imported_a_module_before_its_use_has_the_same_one() -> None:
    script = f"{START}\npostponed.import_dependencies()\nimport trio._ssl, ssl\n"
    script += (
        "print(trio._ssl._stdlib_ssl is ssl, trio.SSLStream, type(ssl).__name__)\nssl.SSLContext\n"
    )
    assert output(script) == "True <class 'trio.SSLStream'> _Postponed"
    assert output(script + "print(type(ssl).__name__)").endswith("module")


def test_trio_offers_the_same_names_as_without_this() -> None:
    names = """
import trio, types
for package in trio, trio.lowlevel:
    for name in sorted(NAMES[package.__name__]):
        value = getattr(package, name)
        if not isinstance(value, types.ModuleType) and not name.startswith("__"):
            print(package.__name__, name, getattr(value, "__module__", value))
"""
    plain = f"import trio\nNAMES = {{p.__name__: dir(p) for p in (trio, trio.lowlevel)}}\n{names}"
    found = output(plain)
    late: dict[str, list[str]] = {"trio": [], "trio.lowlevel": []}
    for line in found.splitlines():
        package, name, _ = line.split(maxsplit=2)
        late[package].append(name)
    assert "Path" in late["trio"]
    assert "open_process" in late["trio.lowlevel"]
    script = f"{START}\npostponed.import_dependencies()\nNAMES = {late}\n{names}"
    assert output(script).splitlines() == found.splitlines()


def test_a_name_that_trio_does_not_have_is_missed() -> None:
    script = f"{START}\npostponed.import_dependencies()\nimport trio\n"
    script += "print([hasattr(package, 'nope') for package in (trio, trio.lowlevel)])"
    assert output(script) == "[False, False]"


def test_trio_can_use_all_of_random() -> None:
    script = f"""{START}
postponed.import_dependencies()
from trio._core._run import _r
assert 1 <= _r.uniform(1, 2) <= 2
before = "random" in late()
numbers = [1, 2, 3]
_r.shuffle(numbers)
print(before, sorted(numbers), "random" in late())
"""
    assert output(script) == "True [1, 2, 3] False"


def test_subprocesses_can_be_waited_for_with_their_output() -> None:
    script = f"""{START}
postponed.import_dependencies()
import subprocess
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
with subprocess.Popen("cat", **pipes) as cat:
    print(cat.communicate(b"x"))
"""
    assert output(script) == "(b'x', b'')"


def test_all_names_of_a_module_can_be_imported() -> None:
    script = f"{START}\npostponed.import_dependencies()\n"
    assert output(f"{script}from base64 import *\nprint(b64encode(b'x'))") == "b'eA=='"


def test_a_job_in_a_thread_loads_nothing() -> None:
    script = f"""{START}
postponed.import_dependencies()
import trio
trio.run(trio.to_thread.run_sync, int)
print(*late())
"""
    assert set(output(script).split()) == POSTPONED.keys()


def test_trio_logs_what_happens_to_an_instrument() -> None:
    """With the loggers that it has made before ``logging`` was loaded."""
    script = f"""{START}
postponed.import_dependencies()
import trio
class Failing(trio.abc.Instrument):
    def before_run(self):
        raise ValueError("of the instrument")
assert "logging" in late()
import io, contextlib
with contextlib.redirect_stderr(io.StringIO()) as log:
    trio.run(trio.lowlevel.checkpoint, instruments=[Failing()])
print("ValueError: of the instrument" in log.getvalue())
"""
    assert output(script) == "True"


def test_outcomes_of_trio_take_errors_only() -> None:
    script = f"""{START}
postponed.import_dependencies()
import outcome
outcome.Error(ValueError())
try:
    outcome.Error(1)
except TypeError:
    print("refused", "attr.validators" in late())
"""
    assert output(script) == "refused True"


def test_annotations_are_those_of_the_module() -> None:
    """Of a class, which dataclasses of later releases of Python ask for, without loading it."""
    script = f"""{START}
postponed.import_dependencies()
import inspect
class Base:
    of_base: int
class Derived(Base):
    value: "str"
print(inspect.get_annotations(Derived), "inspect" in late())
print(inspect.get_annotations(Derived, eval_str=True), "inspect" in late())
"""
    first, second = output(script).splitlines()
    assert first == f"{{'value': 'str'}} {sys.version_info < (3, 14)}"
    assert second == "{'value': <class 'str'>} False"


def test_what_trio_uses_while_it_is_imported_is_loaded(tmp_path: Path) -> None:
    """As a later version of trio may do."""
    (tmp_path / "trio.py").write_text("import ssl\nprint(ssl.CERT_REQUIRED)\n")
    assert output(f"{START}\npostponed.import_dependencies()", tmp_path) == "2"


def test_what_has_been_loaded_before_stays_as_it_is() -> None:
    script = (
        f"import inspect\nbefore = inspect.cleandoc\n{START}\npostponed.import_dependencies()\n"
    )
    assert output(f"{script}print('inspect' in late(), inspect.cleandoc is before)") == "False True"


#: A postponed module of our own.
OURS = f"""{START}
postponed.POSTPONED = {{"ours": "a test"}}
postponed.import_dependencies()
import ours
"""


def test_another_thread_waits_until_a_module_is_complete(tmp_path: Path) -> None:
    (tmp_path / "gate.py").write_text(
        "import threading\nentered, go = threading.Event(), threading.Event()\n"
    )
    (tmp_path / "ours.py").write_text(
        "import gate\nearly = 1\ngate.entered.set()\ngate.go.wait()\nlate = 2\n"
    )
    script = f"""{OURS}
import gate, threading
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor() as threads:
    first = threads.submit(lambda: ours.late)
    gate.entered.wait()
    started = threading.Event()
    def use(name):
        started.set()
        return getattr(ours, name)
    others = [threads.submit(use, name) for name in ("early", "late")]
    started.wait()
    gate.go.set()
    print(first.result(), *(other.result() for other in others))
"""
    assert output(script, tmp_path) == "2 1 2"


def test_a_module_that_cannot_be_loaded_says_so_at_each_use(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text("import no_such_module\n")
    script = f"""{OURS}
for _ in range(2):
    try:
        ours.value
    except ImportError as error:
        print(error.name)
"""
    assert output(script, tmp_path).split() == ["no_such_module", "no_such_module"]


def test_a_module_that_does_not_exist_is_missed_by_who_needs_it(tmp_path: Path) -> None:
    (tmp_path / "trio.py").write_text("")
    script = (
        f"{START}\npostponed.POSTPONED = {{'ours': 'a test'}}\npostponed.import_dependencies()\n"
    )
    assert output(f"{script}print('ours' in sys.modules)", tmp_path) == "False"


def test_what_errors_and_clients_need_is_loaded_without_a_descriptor() -> None:
    script = f"""{START}
postponed.import_dependencies()
import trio_supervisor.cli.daemon as daemon
import resource
daemon.keep_late_modules()
assert late() >= {{"ipaddress", "traceback"}}
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
import ipaddress, traceback
assert ipaddress.ip_address("127.0.0.1").is_loopback
try:
    open("/dev/null")
except OSError:
    text = traceback.format_exc()
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
print(text.splitlines()[-1])
"""
    assert output(script) == "OSError: [Errno 24] Too many open files: '/dev/null'"


def test_dataclasses_of_early_releases_of_python_get_their_signature() -> None:
    """Before 3.11.4 they add it to the documentation of a class, and expect no error."""
    script = f"""{START}
before = postponed._answers
for name in postponed.POSTPONED:
    if name not in sys.modules:
        postponed._postpone(name)
before.update(postponed.DURING_THE_IMPORT)
import inspect
print(repr(str(inspect.signature(object)).replace(" -> None", "")), "inspect" in late())
"""
    assert output(script) == "'' True"
