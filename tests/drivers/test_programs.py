"""Images among the programs of this box: what is noted of them, and that a slow one holds up nothing else."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from acsmpd.drivers.programs import Programs
from acsmpd.faults import Conflict, FacilityRefused
from acsmpd.packages.bytestream import DEFAULTS
from acsmpd.packages.manifest import Manifest
from tests.support.images import image_package
from tests.support.packaging import PACKAGE_ID, make_package

OTHER = "1101000000502000000120261121120000000002"
IMAGE = f"sha256:{'0' * 64}"


class Engine:
    """Where images go; `go_on` is what a slow pull waits for, `refusing` lets nothing be cleared away."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.refusing = threading.Event(), threading.Event(), False
        self.go_on.set()
        self.held: set[tuple[str, str]] = set()

    def bring(self, package_id: str, md5: str, file: Path, manifest: Manifest) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        self.held.add((package_id, md5))
        return IMAGE

    def keep(self, wanted: Collection[tuple[str, str]]) -> bool:
        if self.refusing:
            raise FacilityRefused("cannot use the container engine")
        self.held &= set(wanted)
        return True


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def programs(tmp_path: Path, engine: Engine) -> Programs:
    return Programs(tmp_path / "programs", DEFAULTS, lambda: engine)


def boxed(folder: Path, package_id: str = PACKAGE_ID) -> Path:
    return image_package(folder, remote_uri="registry:5000/a:1", package_id=package_id)


def test_an_image_is_noted_by_its_id_and_replaced_by_that_of_the_next_file(
    programs: Programs, engine: Engine, tmp_path: Path
) -> None:
    programs.add(PACKAGE_ID, boxed(tmp_path), "1" * 32)
    found = programs.get(PACKAGE_ID)
    assert found is not None
    assert (found.image, found.manifest.kind) == (IMAGE, "image")
    programs.add(PACKAGE_ID, boxed(tmp_path), "2" * 32)
    assert engine.held == {(PACKAGE_ID, "2" * 32)}
    assert [package_id for package_id, _ in programs.all()] == [PACKAGE_ID]


def test_a_slow_image_holds_up_no_artifact_and_nobody_waits_for_it(
    programs: Programs, engine: Engine, tmp_path: Path
) -> None:
    engine.go_on.clear()
    slow = threading.Thread(target=programs.add, args=(PACKAGE_ID, boxed(tmp_path), "1" * 32))
    slow.start()
    try:
        assert engine.begun.wait(20)
        programs.add(OTHER, make_package(tmp_path / "a", package_id=OTHER), "2" * 32)
        assert programs.get(OTHER) is not None
        with pytest.raises(Conflict, match="another image is being taken"):
            programs.add("3" * 40, boxed(tmp_path / "b", "3" * 40), "3" * 32)
        programs.tidy()
    finally:
        engine.go_on.set()
        slow.join()
    assert programs.get(PACKAGE_ID) is not None


def test_an_image_that_cannot_be_cleared_away_now_is_asked_again(
    programs: Programs, engine: Engine, tmp_path: Path
) -> None:
    programs.add(PACKAGE_ID, boxed(tmp_path), "1" * 32)
    engine.refusing = True
    with pytest.raises(FacilityRefused):
        programs.remove(PACKAGE_ID)
    assert programs.get(PACKAGE_ID) is None
    with pytest.raises(FacilityRefused):
        programs.remove(PACKAGE_ID)
    engine.refusing = False
    programs.remove(PACKAGE_ID)
    assert engine.held == set()
    assert list((tmp_path / "programs").iterdir()) == []


def test_an_image_whose_package_became_an_artifact_goes_be_it_after_a_restart(
    programs: Programs, engine: Engine, tmp_path: Path
) -> None:
    programs.add(PACKAGE_ID, boxed(tmp_path), "1" * 32)
    engine.refusing = True
    programs.add(PACKAGE_ID, make_package(tmp_path / "a"), "2" * 32)
    assert engine.held == {(PACKAGE_ID, "1" * 32)}
    again = Programs(tmp_path / "programs", DEFAULTS, lambda: engine)
    engine.refusing = False
    again.tidy()
    assert engine.held == set()
    assert [path.name for path in tmp_path.glob(".*-images")] == []


def test_an_image_that_the_engine_lost_is_brought_again(
    programs: Programs, engine: Engine, tmp_path: Path
) -> None:
    programs.add(PACKAGE_ID, boxed(tmp_path), "1" * 32)
    engine.held.clear()
    programs.gone(PACKAGE_ID)
    assert programs.get(PACKAGE_ID) is None
    programs.add(PACKAGE_ID, boxed(tmp_path), "1" * 32)
    assert engine.held == {(PACKAGE_ID, "1" * 32)}
