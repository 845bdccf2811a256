"""Logs in regular files: rotation, clearing, failures."""

from __future__ import annotations

import errno
import os
import pwd
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.fakes import log_lines
from tests.kit.root import NOBODY, directory_of, needs_root
from trio_supervisor.runtime.logs.logfile import LogFile, clear_log, open_log, own_descriptor
from trio_supervisor.runtime.logs.rotation import MOST_TRIED, Rotations, RotationScheme


class Disk:
    """``os.write`` with a number of bytes after which the disk is full."""

    def __init__(self) -> None:
        self.free: int | None = None
        self.error = errno.ENOSPC

    def write(self, fd: int, data: memoryview) -> int:
        if self.free is None:
            return os.write(fd, data)
        if self.free == 0:
            raise OSError(self.error, os.strerror(self.error))
        written = os.write(fd, data[: self.free])
        self.free -= written
        return written


class Bench:
    """A directory with one log in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "x.log"
        self.lines: list[str] = []
        self.disk = Disk()
        self.rotations = Rotations()
        self._open: list[LogFile] = []

    def log(self, maxbytes: int = 0, backups: int = 0) -> LogFile:
        log = LogFile(
            str(self.path),
            open_log(str(self.path)),
            rotation=RotationScheme(maxbytes, backups),
            report=log_lines(self.lines),
            write=self.disk.write,
            rotations=self.rotations,
            rotated=self.rotations.count(str(self.path)),
        )
        self._open.append(log)
        return log

    def sizes(self) -> dict[str, int]:
        """Of the log ("") and its backups (".1")."""
        return {
            name.removeprefix("x.log"): (self.directory / name).stat().st_size
            for name in sorted(os.listdir(self.directory))
        }

    def close(self) -> None:
        for log in self._open:
            log.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    directory = tmp_path / "logs"
    directory.mkdir()
    bench = Bench(directory)
    yield bench
    bench.close()


LINE = b"x" * 60 + b"\n"


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_rotation_by_size(bench: Bench) -> None:
    bench.path.write_bytes(b"y" * 12)
    stale = Path(f"{bench.path}.3")
    stale.write_bytes(b"stale")
    log = bench.log(maxbytes=100, backups=2)
    seen = []
    for data in [LINE] * 6 + [b"z" * 451]:
        log.write(data)
        sizes = bench.sizes()
        assert sizes.pop(".3") == 5
        seen.append(tuple(sizes.values()))
    assert seen == [
        (73,),
        (0, 134),
        (61, 134),
        (0, 122, 134),
        (61, 122, 134),
        (0, 122, 122),
        (0, 451, 122),
    ]
    assert bench.lines == []


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_rotation_without_backups(bench: Bench) -> None:
    log = bench.log(maxbytes=100, backups=0)
    sizes = []
    for _ in range(4):
        log.write(LINE)
        sizes.append(bench.sizes())
    assert sizes == [{"": 61}, {"": 0}, {"": 61}, {"": 0}]


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_gaps_move_along(bench: Bench) -> None:
    Path(f"{bench.path}.2").write_bytes(b"22")
    log = bench.log(maxbytes=5, backups=4)
    log.write(b"12345")
    assert bench.sizes() == {"": 0, ".1": 5, ".3": 2}


@pytest.mark.behaviour("process.md#rotation-by-size")
@pytest.mark.parametrize("backups", [MOST_TRIED, MOST_TRIED + 1, 10**9, 10**30])
def test_a_rotation_costs_what_there_is_not_what_may_be(bench: Bench, backups: int) -> None:
    """Even if the option is a number that nobody could count to; gaps move along."""
    for name in (".1", ".7", ".99", ".099", ".7.gz", ".x", ".-3", ".\N{ARABIC-INDIC DIGIT ONE}"):
        Path(f"{bench.path}{name}").write_bytes(b"x" * len(name))
    log = bench.log(maxbytes=5, backups=backups)
    log.write(b"12345")
    assert bench.lines == []
    assert bench.sizes() == {
        "": 0,
        ".1": 5,
        ".2": 2,
        ".8": 2,
        ".100": 3,
        ".099": 4,
        ".7.gz": 5,
        ".x": 2,
        ".-3": 3,
        ".\N{ARABIC-INDIC DIGIT ONE}": 2,
    }


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_backups_beyond_the_limit_are_left_alone(bench: Bench) -> None:
    for number in (MOST_TRIED + 1, MOST_TRIED + 2, MOST_TRIED + 3):
        Path(f"{bench.path}.{number}").write_bytes(b"x" * number)
    log = bench.log(maxbytes=5, backups=MOST_TRIED + 2)
    log.write(b"12345")
    kept = MOST_TRIED + 3
    assert bench.sizes() == {"": 0, ".1": 5, f".{kept - 1}": kept - 2, f".{kept}": kept}


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_maxbytes_0_never_rotates(bench: Bench) -> None:
    log = bench.log(maxbytes=0, backups=3)
    for _ in range(10):
        log.write(b"x" * 1000)
    assert bench.sizes() == {"": 10_000}


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_a_file_too_large_is_rotated_after_the_first_write(bench: Bench) -> None:
    bench.path.write_bytes(b"x" * 200)
    log = bench.log(maxbytes=100, backups=1)
    assert bench.sizes() == {"": 200}
    log.write(b"y")
    assert bench.sizes() == {"": 0, ".1": 201}


@pytest.mark.behaviour("process.md#rotation-failures")
def test_a_log_deleted_from_outside(bench: Bench) -> None:
    Path(f"{bench.path}.1").write_bytes(b"backup")
    log = bench.log(maxbytes=100, backups=2)
    log.write(LINE)
    bench.path.unlink()
    log.write(LINE)
    log.write(b"after")
    assert bench.sizes() == {"": 5, ".1": 6}
    assert bench.lines == []


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
def test_reopen_after_an_external_rotation(bench: Bench) -> None:
    log = bench.log()
    log.write(b"before")
    bench.path.rename(f"{bench.path}.old")
    log.write(b" moved")
    log.reopen()
    log.write(b"after")
    assert bench.path.read_bytes() == b"after"
    assert Path(f"{bench.path}.old").read_bytes() == b"before moved"


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_two_programs_in_one_file(bench: Bench) -> None:
    one, two = bench.log(), bench.log()
    for _ in range(3):
        one.write(b"one\n")
        two.write(b"two\n")
    assert bench.path.read_bytes() == b"one\ntwo\n" * 3


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
@pytest.mark.parametrize("maxbytes", [0, 100])
def test_output_after_a_truncation_from_outside(bench: Bench, maxbytes: int) -> None:
    log = bench.log(maxbytes, backups=1)
    log.write(b"x" * 99)
    os.truncate(bench.path, 0)
    log.write(b"12345")
    assert bench.sizes() == {"": 5}


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clearing_empties_the_file(bench: Bench) -> None:
    backup = Path(f"{bench.path}.1")
    backup.write_bytes(b"backup")
    log = bench.log(maxbytes=100, backups=1)
    log.write(b"x" * 50)
    inode = bench.path.stat().st_ino
    log.clear()
    assert bench.sizes() == {"": 0, ".1": 6}
    assert bench.path.stat().st_ino == inode
    log.write(b"x" * 60)
    assert bench.sizes() == {"": 60, ".1": 6}


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clear_when_the_file_was_deleted(bench: Bench) -> None:
    log = bench.log()
    log.write(b"x")
    bench.path.unlink()
    log.clear()
    assert bench.sizes() == {"": 0}


def test_clear_spares_a_file_that_was_moved_away(bench: Bench) -> None:
    log = bench.log()
    log.write(b"kept")
    bench.path.rename(f"{bench.path}.old")
    log.clear()
    assert bench.sizes() == {"": 0, ".old": 4}


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clear_without_a_sink(bench: Bench) -> None:
    bench.path.write_bytes(b"x")
    clear_log(str(bench.path))
    assert bench.sizes() == {"": 0}


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clear_of_a_missing_file(bench: Bench) -> None:
    clear_log(str(bench.path))
    assert bench.sizes() == {}


@pytest.mark.behaviour("process.md#clearing-logs")
def test_clear_leaves_special_files_alone(bench: Bench, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    for path in (fifo, link, Path("/dev/null"), Path("/dev/stdout")):
        before = os.lstat(path)
        clear_log(str(path))
        assert os.path.samestat(os.lstat(path), before)


@pytest.mark.behaviour("process.md#clearing-logs")
def test_own_descriptor_is_not_truncated_by_its_name(bench: Bench) -> None:
    bench.path.write_bytes(b"ours")
    with bench.path.open("rb") as file:
        clear_log(f"/dev/fd/{file.fileno()}")
    assert bench.sizes() == {"": 4}


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk_drops_output(bench: Bench, error: int) -> None:
    log = bench.log()
    bench.disk.error = error
    bench.disk.free = 150
    for i in range(20):
        log.write(b"%02d" % i + b"x" * 88)
    why = os.strerror(error)
    expected = [f"ERRO cannot write log {bench.path}: {why}; output is dropped until it works"]
    assert bench.lines == expected
    os.truncate(bench.path, 0)
    bench.disk.free = None
    log.write(b"resumed\n")
    assert bench.path.read_bytes() == b"resumed\n"
    lost = 20 * 90 - 150
    assert bench.lines[1:] == [f"INFO log {bench.path} works again; {lost} bytes were dropped"]
    bench.disk.free = 0
    log.write(b"lost")
    assert len(bench.lines) == 3  # a second failure is a new one


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_a_log_that_is_closed_on_a_full_disk_tells_what_it_has_dropped(bench: Bench) -> None:
    log = LogFile(
        str(bench.path),
        open_log(str(bench.path)),
        rotation=RotationScheme(),
        report=log_lines(bench.lines),
        write=bench.disk.write,
    )
    bench.disk.free = 0
    log.write(b"lost")
    log.close()
    assert bench.lines[1:] == [f"ERRO log {bench.path} is closed; 4 bytes were dropped"]


@pytest.mark.behaviour("process.md#slow-full-and-broken-disks")
def test_partial_writes_lose_and_double_nothing(bench: Bench) -> None:
    log = LogFile(
        str(bench.path),
        open_log(str(bench.path)),
        rotation=RotationScheme(),
        report=log_lines(bench.lines),
        write=lambda fd, data: os.write(fd, data[:3]),
    )
    log.write(b"0123456789")
    log.close()
    assert bench.path.read_bytes() == b"0123456789"


@pytest.mark.parametrize("maxbytes", [0, 10])
def test_a_report_that_comes_back_to_the_failing_log_ends(bench: Bench, maxbytes: int) -> None:
    """The activity log reports its own trouble to itself."""
    reported = []

    def report(severity: int, text: str) -> None:
        reported.append(text)
        log.write(text.encode())

    fd = open_log(str(bench.path))
    log = LogFile(
        str(bench.path),
        fd,
        rotation=RotationScheme(maxbytes, backups=1),
        report=report,
        write=bench.disk.write,
    )
    bench.disk.free = 0
    log.write(b"x")
    bench.disk.free = None
    log.write(b"y")
    assert len(reported) == 2
    os.rename(bench.directory, f"{bench.directory}.gone")
    log.write(b"x" * 20)
    log.close()
    assert len(reported) == (3 if maxbytes else 2)


def gone(directory: Path) -> Callable[[], None]:
    """Remove the directory with all in it; the result makes it again."""
    for name in os.listdir(directory):
        (directory / name).unlink()
    directory.rmdir()
    return directory.mkdir


@pytest.mark.behaviour("process.md#reopening-and-truncation-from-outside")
def test_reopen_with_the_directory_gone(bench: Bench) -> None:
    log = bench.log()
    log.write(b"before")
    restore = gone(bench.directory)
    with pytest.raises(FileNotFoundError):
        log.reopen()
    log.write(b"lost")
    restore()
    log.write(b"by itself")
    assert bench.path.read_bytes() == b"by itself"
    log.reopen()
    log.write(b" and again")
    assert bench.path.read_bytes() == b"by itself and again"
    assert bench.lines == []  # the one CRIT line is the caller's


@pytest.mark.behaviour("process.md#rotation-failures")
def test_rotation_with_the_directory_gone(bench: Bench) -> None:
    log = bench.log(maxbytes=50, backups=2)
    restore = gone(bench.directory)
    for _ in range(5):
        log.write(LINE)
    assert bench.lines == [
        f"ERRO cannot rotate log {bench.path}: No such file or directory; it grows until that works"
    ]
    restore()
    log.write(b"back\n")
    assert bench.path.read_bytes() == b"back\n"
    log.write(LINE)
    assert bench.sizes() == {"": 0, ".1": 66}
    assert len(bench.lines) == 1


@pytest.mark.behaviour("process.md#rotation-failures")
def test_a_rotation_that_fails_half_way_shifts_only_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed, but no new file could be made (no descriptors left): backups must not be lost."""
    Path(f"{bench.path}.1").write_bytes(b"one")
    log = bench.log(maxbytes=50, backups=2)

    def no_descriptors(*args: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("trio_supervisor.runtime.logs.logfile.open_file", no_descriptors)
        for _ in range(4):
            log.write(LINE)
        assert bench.sizes() == {".1": 244, ".2": 3}
    log.write(b"new")
    assert bench.sizes() == {"": 3, ".1": 244, ".2": 3}
    assert len(bench.lines) == 1


@pytest.mark.behaviour("process.md#rotation-failures")
def test_a_name_that_became_something_else_is_not_renamed(bench: Bench) -> None:
    log = bench.log(maxbytes=50, backups=2)
    bench.path.unlink()
    os.mkfifo(bench.path)
    reader = os.open(bench.path, os.O_RDONLY | os.O_NONBLOCK)
    log.write(LINE)
    log.write(LINE)
    os.close(reader)
    assert os.listdir(bench.directory) == ["x.log"]
    assert len(bench.lines) == 1


@pytest.mark.behaviour("process.md#special-files-as-logs")
@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/dev/stdin", 0),
        ("/dev/stdout", 1),
        ("/dev/stderr", 2),
        ("/dev/fd/17", 17),
        ("/proc/self/fd/3", 3),
        (f"/proc/{os.getpid()}/fd/3", 3),
        (f"/proc/{os.getppid()}/fd/3", None),
        ("/dev/null", None),
        ("/no/such/file", None),
        ("/dev/stdout.log", None),
    ],
)
def test_names_of_own_descriptors(path: str, number: int | None) -> None:
    assert own_descriptor(path) == number


@pytest.mark.behaviour("process.md#special-files-as-logs")
def test_links_to_own_descriptors(tmp_path: Path) -> None:
    (tmp_path / "access.log").symlink_to("/dev/stdout")
    (tmp_path / "link").symlink_to("access.log")
    (tmp_path / "loop").symlink_to("loop")
    assert own_descriptor(str(tmp_path / "link")) == 1
    assert own_descriptor(str(tmp_path / "loop")) is None


@pytest.fixture
def shared() -> Iterator[Bench]:
    """The same in a directory of a user without rights, while we are root."""
    with directory_of(NOBODY) as directory:
        bench = Bench(directory)
        yield bench
        bench.close()


def swap(path: Path, target: Path) -> None:
    """The user puts a link in the place of a file."""
    nobody = pwd.getpwnam(NOBODY)
    path.rename(path.with_name("moved"))
    path.symlink_to(target)
    os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)


@needs_root
@pytest.mark.parametrize("how", ["clear", "clear closed", "reopen", "rotate"])
def test_a_log_that_its_user_has_swapped_for_a_link(
    shared: Bench, tmp_path: Path, how: str
) -> None:
    """Nothing is truncated or written where the link leads; output goes on where it went."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    log = shared.log(maxbytes=10)
    log.write(b"begin")
    swap(shared.path, victim)
    if how == "rotate":
        log.write(b" more and more")
        assert "a link of nobody" in shared.lines[0]
    else:
        action = {
            "clear": log.clear,
            "clear closed": lambda: clear_log(str(shared.path)),
            "reopen": log.reopen,
        }[how]
        with pytest.raises(OSError, match="a link of nobody"):
            action()
    log.write(b" on")
    assert victim.read_text() == "precious"
    assert (shared.directory / "moved").read_bytes().endswith(b" on")


@needs_root
def test_a_directory_that_its_user_has_swapped_for_a_link(shared: Bench, tmp_path: Path) -> None:
    """No file of another directory is renamed by a rotation."""
    logs = shared.directory / "logs"
    logs.mkdir()
    shared.path = logs / "x.log"
    log = shared.log(maxbytes=10, backups=2)
    swap(logs, tmp_path)
    (tmp_path / "x.log").write_text("precious")
    log.write(b"more than ten bytes")
    assert os.listdir(tmp_path) == ["x.log"]
    assert "a link of nobody" in shared.lines[0]


@needs_root
def test_links_of_users_lead_to_no_descriptor_of_ours_but_the_standard_ones(
    shared: Bench,
) -> None:
    nobody = pwd.getpwnam(NOBODY)
    for target, number in (("/dev/stdout", 1), ("/proc/self/fd/2", 2), ("/proc/self/fd/5", None)):
        shared.path.symlink_to(target)
        os.chown(shared.path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        assert own_descriptor(str(shared.path)) == number
        shared.path.unlink()
    shared.path.symlink_to("/proc/self/fd/5")
    assert own_descriptor(str(shared.path)) == 5


@pytest.mark.parametrize(
    ("free", "kept"), [(9, b"whole\ncut\nnext\n"), (6, b"whole\nnext\n"), (15, b"whole\ncut off\n")]
)
def test_a_line_that_a_full_disk_has_cut_is_ended_before_the_next(
    bench: Bench, free: int, kept: bytes
) -> None:
    log = bench.log()
    bench.disk.free = free
    log.write(b"whole\n")
    log.write(b"cut off\n")
    if free < 15:
        log.write(b"lost, too\n")
        bench.disk.free = None
        log.write(b"next\n")
    assert bench.path.read_bytes() == kept


def test_a_newline_that_finds_no_room_is_written_later_and_is_no_loss(bench: Bench) -> None:
    log = bench.log()
    bench.disk.free = 3
    log.write(b"cut off\n")
    log.write(b"lost\n")
    bench.disk.free = 1  # for the newline only
    log.write(b"lost\n")
    bench.disk.free = None
    log.write(b"next\n")
    assert bench.path.read_bytes() == b"cut\nnext\n"
    assert bench.lines[1] == f"INFO log {bench.path} works again; 15 bytes were dropped"


@pytest.mark.parametrize("renewed", ["rotated", "truncated", "cleared"])
def test_another_file_begins_with_a_line_of_its_own(bench: Bench, renewed: str) -> None:
    log = bench.log()
    bench.disk.free = 3
    log.write(b"cut off\n")
    if renewed == "rotated":
        os.rename(bench.path, f"{bench.path}.1")
        log.reopen()
    elif renewed == "truncated":
        os.truncate(bench.path, 0)
    else:
        log.clear()
    bench.disk.free = None
    log.write(b"next\n")
    assert bench.path.read_bytes() == b"next\n"


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_logs_of_one_path_that_are_rotated_at_the_same_time_lose_nothing(bench: Bench) -> None:
    """As with programs that share a file, when a disk was so slow that two threads use it."""
    writers, records = 4, 150
    logs = [bench.log(maxbytes=1, backups=writers * records) for _ in range(writers)]
    begin = threading.Barrier(writers)

    def write(number: int) -> None:
        begin.wait()
        for record in range(records):
            logs[number].write(b"%d %d\n" % (number, record))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = b"".join(path.read_bytes() for path in bench.directory.iterdir()).splitlines()
    assert sorted(found) == sorted(
        b"%d %d" % (number, record) for number in range(writers) for record in range(records)
    )
    assert bench.lines == []


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_a_log_is_written_to_its_new_file_after_another_one_has_rotated_it(bench: Bench) -> None:
    """Not to the backup, which may be compressed and removed meanwhile."""
    first, second = bench.log(maxbytes=len(LINE), backups=5), bench.log(maxbytes=1000, backups=5)
    second.write(b"a\n")
    first.write(LINE)
    second.write(b"b\n")
    assert bench.path.read_bytes() == b"b\n"
    assert bench.sizes() == {"": 2, ".1": 2 + len(LINE)}
    first.write(LINE)
    assert bench.sizes() == {"": 0, ".1": 2 + len(LINE), ".2": 2 + len(LINE)}


@pytest.mark.behaviour("process.md#rotation-by-size")
def test_a_file_that_another_program_has_put_in_the_place_of_the_log_is_no_backup(
    bench: Bench,
) -> None:
    log = bench.log(maxbytes=len(LINE), backups=5)
    os.rename(bench.path, bench.directory / "elsewhere")
    bench.path.write_bytes(b"new\n")
    log.write(LINE)
    log.write(b"x\n")
    assert bench.path.read_bytes() == b"new\nx\n"
    assert (bench.directory / "elsewhere").read_bytes() == LINE
