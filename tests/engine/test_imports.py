"""What a platform above may import: nothing that is the site's own or another platform's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timezone
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.engine.imports import Importer
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake, Received
from acsmpd.store import packages
from acsmpd.store.database import Store
from tests.support.packaging import PACKAGE_ID, make_package

OTHER_ID = PACKAGE_ID[:-1] + "9"


class Racing(Intake):
    """An intake where something may happen just before a file is published."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def publish(self, received: Received, package_id: str, sm3: str) -> Path:
        self.meanwhile()
        return super().publish(received, package_id, sm3)


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "acsmpd.db").open()
        self.intake = Racing(folder / "packages", 1 << 28, 1)
        limits = Limits(max_members=1000, max_unpacked_bytes=1 << 28, max_ratio=200)
        self.importer = Importer(self.store, self.intake, limits, Clock(), timezone.utc, "1" * 20)

    def add(self, origin: str, package_id: str, *codes: str, version: str = "1") -> str:
        path = make_package(self.folder, package_id=package_id, codes=codes, version=version)
        with path.open("rb") as stream:
            received = self.intake.receive(stream, expected_size=path.stat().st_size)
        return self.importer.import_file(received, path.name, origin)

    def state(self) -> dict[str, tuple[str, str, str]]:
        """capability -> (package, its origin, its version)."""
        with self.store.read() as tx:
            rows = {row["id"]: row for row in packages.search(tx)}
            held = {ability.code: rows[ability.package_id] for ability in packages.abilities(tx)}
        return {code: (row["id"], row["origin"], row["version"]) for code, row in held.items()}

    def files(self) -> int:
        return sum(path.suffix == ".tar" for path in (self.folder / "packages").rglob("*"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize(("holder", "words"), [("", "this site"), ("north", "platform north")])
def test_a_capability_of_another_is_not_taken(bench: Bench, holder: str, words: str) -> None:
    bench.add(holder, PACKAGE_ID, "OWN", "TWO")
    before = (bench.state(), bench.files())
    with pytest.raises(faults.Conflict) as found:
        bench.add("south", OTHER_ID, "NEW", "OWN")
    assert found.value.message == (
        f"cannot import package {OTHER_ID}: its capability OWN is held by package {PACKAGE_ID} of {words}"
    )
    assert (bench.state(), bench.files()) == before


@pytest.mark.parametrize(("holder", "words"), [("", "this site"), ("north", "platform north")])
def test_a_package_of_another_is_not_overwritten(bench: Bench, holder: str, words: str) -> None:
    bench.add(holder, PACKAGE_ID, "OWN")
    before = (bench.state(), bench.files())
    with pytest.raises(
        faults.Conflict, match=f"^cannot import package {PACKAGE_ID}: {words} holds one of this ID$"
    ):
        bench.add("south", PACKAGE_ID, "NEW", version="2")
    assert (bench.state(), bench.files()) == before


def test_it_is_judged_again_when_it_is_written(bench: Bench) -> None:
    def meanwhile() -> None:
        bench.intake.meanwhile = lambda: None  # type: ignore[method-assign]
        with bench.store.write() as tx:
            plain = {
                "name": "a", "version": "1", "kind": "artifact", "provider": "P", "file_name": "a.tar", "path": "/a",
                "size": 1, "md5": "m", "sm3": "s", "manifest": {},
            }  # fmt: skip
            ability = {"code": "OWN", "name": "o", "data_type": "ALERT", "event_ids": [], "task_types": []}
            packages.put(tx, {"id": PACKAGE_ID, **plain}, [{**ability, "task_fields": []}], 1)

    bench.intake.meanwhile = meanwhile
    with pytest.raises(faults.Conflict, match="its capability OWN is held by"):
        bench.add("south", OTHER_ID, "OWN")
    assert bench.state() == {"OWN": (PACKAGE_ID, "", "1")}
    assert bench.files() == 0


def test_what_is_its_own_a_platform_may_change_and_the_site_anything(bench: Bench) -> None:
    bench.add("south", PACKAGE_ID, "OWN")
    bench.add("south", PACKAGE_ID, "OWN", "TWO", version="2")
    bench.add("south", OTHER_ID, "TWO")
    assert bench.state() == {"OWN": (PACKAGE_ID, "south", "2"), "TWO": (OTHER_ID, "south", "1")}
    bench.add("", PACKAGE_ID, "OWN", "TWO", version="3")
    assert bench.state() == {"OWN": (PACKAGE_ID, "", "3"), "TWO": (PACKAGE_ID, "", "3")}
