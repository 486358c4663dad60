"""The sample algorithm under test: its modules, the footage, the built package, a running engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sample.parties import SAMPLE, Engine, Receiver

sys.path.insert(0, str(SAMPLE))
sys.path.insert(0, str(SAMPLE / "package" / "bin"))

from build import build
from fetch_video import fetch


@pytest.fixture(scope="session")
def videos() -> dict[str, Path]:
    """The footage by name, fetched once a machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acsmpd-test"
    return {path.stem.partition("_")[0]: path for path in fetch(cache)}


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(sys.executable, tmp_path_factory.mktemp("sample") / "package")


@pytest.fixture(scope="session")
def shared_engine(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(package, tmp_path_factory.mktemp("engine") / "log", STREAM_LIMIT="2") as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """The running engine, without tasks before and after."""
    yield shared_engine
    for record in shared_engine.ask("POST", "/AlgoTasks:search", {"PageSize": 100})["Data"]["Records"]:
        shared_engine.ask("DELETE", f"/AlgoTasks/{record['TaskInfo']['ID']}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver
