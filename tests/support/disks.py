"""Disks that go bad under a running acsmpd and come back: full, read-only, aborted, or failing system calls."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.wait import wait_until

FILLER = "filler"


class Disk:
    """A small tmpfs at a folder, until `end`."""

    def __init__(self, place: Path, mebibytes: int) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "tmpfs", str(place))

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Not a page is left."""
        filler = fill(self.place)
        try:
            yield
        finally:
            filler.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        run("mount", "-o", "remount,ro", str(self.place))
        try:
            yield
        finally:
            run("mount", "-o", "remount,rw", str(self.place))

    def end(self) -> None:
        run("umount", str(self.place))


class LoopDisk:
    """An ext4 without a journal in a file."""

    def __init__(self, image: Path, place: Path, mebibytes: int) -> None:
        self._image, self.place = image, place
        place.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(mebibytes * 2**20)
        run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(image))

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self._image), str(self.place))

    def abort(self) -> None:
        """What the kernel does when it finds ext4 damaged: read-only at once, whoever has files open."""
        subprocess.run(["mount", "-o", "remount,abort", str(self.place)], check=False, capture_output=True)
        with contextlib.suppress(OSError):
            (self.place / "probe").touch()
            raise AssertionError("ext4 takes writes after its abort")

    def unmount(self) -> None:
        run("umount", str(self.place))

    def repair(self) -> None:
        """What an operator does before it is mounted again."""
        found = subprocess.run(["e2fsck", "-fy", str(self._image)], check=False, capture_output=True)
        assert found.returncode in (0, 1), found.stdout


def fill(folder: Path) -> Path:
    """A file that takes all that is left there."""
    filler = folder / FILLER
    with filler.open("wb", buffering=0) as file:
        for block in (2**16, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(block)) == block:
                    continue
    return filler


@contextlib.contextmanager
def failing(pid: int, calls: str, error: str) -> Iterator[None]:
    """System calls of a running process fail with this error, in all its threads; what it starts is left alone."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as strace:
        try:
            wait_until(lambda: _tracers(pid) == {strace.pid} or strace.poll() is not None, what="strace")
            assert strace.poll() is None, strace.communicate()
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(timeout=20)
    wait_until(lambda: _tracers(pid) <= {0}, what="the process without strace")


def _tracers(pid: int) -> set[int]:
    """Who traces its threads; 0: nobody."""
    found = set()
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):  # the thread has ended
            status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
            found.add(int(status.partition("TracerPid:")[2].split()[0]))
    return found


def run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
