"""From a received file to a visible package: whole or not at all, and never under a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from acsmpd import faults
from acsmpd.engine.imports import Importer
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake
from acsmpd.store import packages, services
from acsmpd.store.tables import Capability
from tests.engine.bench import SITE, Bench
from tests.store.rows import CODE, NOW, add_load
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, md5_of

SECOND = PACKAGE_ID[:-1] + "2"
LIMITS = Limits(max_members=1000, max_unpacked_bytes=1 << 20, max_ratio=200)


class Desk:
    """An importer on a real store and a real folder."""

    def __init__(self, works: Bench) -> None:
        self.works, self.folder = works, works.folder
        self.intake = Intake(works.folder / "packages", 1 << 24, 0)
        zone = ZoneInfo("Asia/Shanghai")
        self.importer = Importer(works.store, self.intake, LIMITS, works.clock, zone, SITE)

    def give(self, file: Path, **more: str) -> str:
        with file.open("rb") as stream:
            received = self.intake.receive(stream)
        return self.importer.import_file(received, file.name, **more)

    def make(self, **more: Any) -> Path:
        place = self.folder / "made"
        place.mkdir(exist_ok=True)
        return make_package(place, **more)

    def row(self, package_id: str = PACKAGE_ID) -> dict[str, Any]:
        with self.works.store.read() as tx:
            found = packages.get(tx, package_id)
        assert found is not None
        return found

    def held(self) -> dict[str, str]:
        with self.works.store.read() as tx:
            return {row["code"]: row["package_id"] for row in tx.rows(Capability.select())}

    def files(self) -> list[Path]:
        return sorted(path for path in (self.folder / "packages").rglob("*") if path.is_file())


@pytest.fixture
def desk(works: Bench) -> Desk:
    return Desk(works)


def test_a_package_is_visible_with_all_it_says(desk: Desk) -> None:
    file = desk.make()
    assert desk.give(file) == PACKAGE_ID
    row = desk.row()
    assert (row["name"], row["version"], row["kind"], row["provider"]) == (
        "test-algo",
        "1.0.0",
        "artifact",
        "ACSMPD",
    )
    assert (row["md5"], row["size"], row["file_name"]) == (md5_of(file), file.stat().st_size, file.name)
    assert Path(row["path"]).read_bytes() == file.read_bytes()
    assert desk.files() == [Path(row["path"])]
    assert row["manifest"]["cmd"] == ["./run.sh"]
    assert (row["created_ms"], row["modified_ms"], row["origin"]) == (NOW, NOW, "")
    assert desk.held() == {CAPABILITY: PACKAGE_ID}


def test_a_package_without_an_id_gets_one_of_ours_each_its_own(desk: Desk) -> None:
    first = desk.give(desk.make(package_id=None, codes=("A",)))
    second = desk.give(desk.make(package_id=None, name="other", codes=("B",)))
    assert first[:34] == SITE + "20260921221320"  # the moment of the clock, in the site's zone
    assert (first[34:], second[34:]) == ("000001", "000002")


def test_the_same_id_again_takes_the_place_of_the_first(desk: Desk) -> None:
    desk.give(desk.make(codes=("A", "B")))
    old = Path(desk.row()["path"])
    desk.works.pass_by(60)
    desk.give(desk.make(codes=("B", "C"), version="2.0.0"))
    row = desk.row()
    assert (row["version"], row["created_ms"], row["modified_ms"]) == ("2.0.0", NOW, NOW + 60_000)
    assert desk.held() == {"B": PACKAGE_ID, "C": PACKAGE_ID}
    assert not old.exists()
    assert desk.files() == [Path(row["path"])]


def test_the_very_same_file_again_keeps_it(desk: Desk) -> None:
    file = desk.make()
    desk.give(file)
    desk.give(file)
    assert Path(desk.row()["path"]).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("wanted", "sent"), [(True, False), (False, True)])
def test_a_package_is_not_replaced_under_a_service(desk: Desk, wanted: bool, sent: bool) -> None:
    desk.give(desk.make())
    before = desk.row(), desk.files()
    with desk.works.store.write() as tx:
        add_load(tx, "l", "service-7", package_id=PACKAGE_ID, wanted=wanted, sent=sent)
    with pytest.raises(faults.Conflict) as refused:
        desk.give(desk.make(version="2.0.0"))
    assert refused.value.message == (
        f"cannot import package {PACKAGE_ID}: algorithm services run of it: service-7 on {CODE}"
    )
    assert (desk.row(), desk.files()) == before
    with desk.works.store.write() as tx:
        services.change_load(tx, "l", wanted=False, sent=False)
    desk.give(desk.make(version="2.0.0"))
    assert desk.row()["version"] == "2.0.0"


def test_a_capability_is_not_taken_from_a_package_under_a_service(desk: Desk) -> None:
    desk.give(desk.make(codes=("A",)))
    with desk.works.store.write() as tx:
        add_load(tx, "l", package_id=PACKAGE_ID)
    with pytest.raises(
        faults.Conflict, match=f"cannot import package {SECOND}: algorithm services run of it"
    ):
        desk.give(desk.make(package_id=SECOND, codes=("A",)))
    assert desk.held() == {"A": PACKAGE_ID}
    assert len(desk.files()) == 1


@pytest.mark.parametrize(("provider", "told"), [("ACSMPD", False), ("ANOTHER", True)])
def test_a_capability_that_changes_its_provider_is_an_alarm(desk: Desk, provider: str, told: bool) -> None:
    desk.give(desk.make(codes=("A", "B")))
    desk.give(desk.make(package_id=SECOND, codes=("B",), provider=provider))
    assert desk.held() == {"A": PACKAGE_ID, "B": SECOND}
    taken = f"was taken over by provider {provider} (package {SECOND})"
    text = f"capability B of provider ACSMPD (package {PACKAGE_ID}) {taken}"
    assert desk.works.alarms() == ([("capability_moved", "B", text)] if told else [])


def test_a_file_that_is_no_package_leaves_nothing(desk: Desk) -> None:
    file = desk.folder / "bad.tar"
    file.write_bytes(b"no tar" * 1000)
    with pytest.raises(faults.InvalidPackage, match=r"bad\.tar"):
        desk.give(file)
    assert (desk.files(), desk.held()) == ([], {})


def test_the_id_that_was_asked_for_must_be_the_one_it_has(desk: Desk) -> None:
    file = desk.make()
    with pytest.raises(faults.InvalidPackage) as refused:
        desk.give(file, wanted_id=SECOND)
    assert refused.value.message == f"{file.name}: algo.yaml names the package {PACKAGE_ID}, not {SECOND}"
    assert desk.files() == []
    assert desk.give(file, wanted_id=PACKAGE_ID) == PACKAGE_ID


def test_a_package_that_does_not_say_its_id_takes_the_one_that_was_asked_for(desk: Desk) -> None:
    assert desk.give(desk.make(package_id=None), wanted_id=SECOND) == SECOND
    assert desk.row(SECOND)["name"] == "test-algo"


def test_a_write_that_fails_takes_the_new_file_back_and_keeps_the_old(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.give(desk.make())
    before = desk.row(), desk.files()

    def full(*_args: Any) -> None:
        raise faults.NoSpace("cannot write to the database: the disk is full")

    monkeypatch.setattr(packages, "put", full)
    for version in ("2.0.0", "1.0.0"):  # another file, and the very same
        with pytest.raises(faults.NoSpace):
            desk.give(desk.make(version=version))
        assert (desk.row(), desk.files()) == before
