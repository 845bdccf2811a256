"""``python -m benchmarks.storm``: run a storm; exit with 1 if an invariant did not hold."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.storm.storm import DISK_SIZE, Storm

EXIT_FAILED = 1


def main(argv: list[str] | None = None) -> int:
    """Run one storm; return 0 if all invariants held."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_FAILED))
    _raise_descriptors()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    with _directory(arguments.keep) as directory:
        storm = Storm(directory, seed=arguments.seed, count=arguments.programs, say=say)
        say(f"seed {arguments.seed}, {arguments.programs} programs, pid {storm.daemon.pid}")
        for name, there in (
            ("a disk that fills (needs root)", storm.fleet.disk),
            ("programs of another user (needs root)", storm.fleet.root),
            ("a clock that jumps (needs cc)", bool(storm.daemon.clock)),
        ):
            if not there:
                say(f"without {name}")
        errors = storm.run(arguments.minutes * 60)
        print(storm.summary())
    for error in errors:
        print(f"VIOLATION: {error}")
    verdict = f"{len(errors)} violations" if errors else "all invariants held"
    print(
        f"seed {arguments.seed}: {verdict}; again with:"
        f" python -m benchmarks.storm --minutes {arguments.minutes:g} --seed {arguments.seed}"
        f" --programs {arguments.programs}"
    )
    return EXIT_FAILED if errors else 0


def _raise_descriptors() -> None:
    """The daemon's hard limit is that of this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """A directory with a small disk in it, if root may mount one."""
    if keep:
        keep.mkdir(parents=True)
    directory = keep or Path(tempfile.mkdtemp(prefix="storm-"))
    disk = directory / "disk"
    disk.mkdir()
    mounted = os.getuid() == 0 and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=755", "storm", str(disk)],
            check=False,
        ).returncode
        == 0
    )
    try:
        yield directory
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="length of the storm; default 2")
    parser.add_argument("--seed", type=int, default=1, help="of all chance; default 1")
    parser.add_argument("--programs", type=int, default=100, help="how many; default 100")
    parser.add_argument("--keep", type=Path, help="new directory in which all files are kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
