"""The fake driver, compiled once, and a hand on what it plays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.clock import Clock
from acsmpd.probes.reader import CardReader

SOURCE = Path(__file__).parent / "fake_nvml.c"

A2 = {"name": "NVIDIA A2", "uuid": "GPU-a2", "total": 16 << 30, "used": 5 << 30, "use": 37}
A2 |= {"celsius": 61, "milliwatts": 42_500}
T4 = {"name": "Tesla T4", "uuid": "GPU-t4", "total": 15 << 30, "used": 1 << 30, "use": 0, "celsius": 40}


class FakeDriver:
    """What the fake library plays from its next call on."""

    def __init__(self, library_dir: Path, state: Path) -> None:
        self._state = state
        self.environment = {"LD_LIBRARY_PATH": str(library_dir), "FAKE_NVML_STATE": str(state)}
        self.play()

    def play(self, *cards: dict[str, object], **keys: object) -> None:
        lines = [f"{key} {value}" for key, value in {"count": len(cards), **keys}.items()]
        lines += [f"{at}.{name} {value}" for at, card in enumerate(cards) for name, value in card.items()]
        fresh = self._state.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.rename(self._state)


def _compile(folder: Path, *flags: str) -> Path:
    library = folder / "libnvidia-ml.so.1"
    soname = "-Wl,-soname,libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", *flags, soname, "-o", library, SOURCE], check=True)
    return folder


@pytest.fixture(scope="session")
def library_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compile(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_library_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compile(tmp_path_factory.mktemp("nvml-old"), "-DOLD_DRIVER")


@pytest.fixture
def driver(library_dir: Path, tmp_path: Path) -> FakeDriver:
    return FakeDriver(library_dir, tmp_path / "state")


@pytest.fixture
def old_driver(old_library_dir: Path, tmp_path: Path) -> FakeDriver:
    return FakeDriver(old_library_dir, tmp_path / "state")


@pytest.fixture
def reader(driver: FakeDriver) -> Iterator[CardReader]:
    made = CardReader(Clock(), driver.environment)
    yield made
    made.close()


def alive(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
