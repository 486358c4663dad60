"""Packages in two parts: what waits, what becomes of it, and what leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.engine.parts import PartImporter
from acsmpd.packages.intake import Received
from acsmpd.store import packages, unfinished
from acsmpd.store.tables import Fact
from tests.engine.bench import Bench
from tests.engine.test_importing import LIMITS, Desk
from tests.packages.samples import ALGO_YAML, PACKAGE_ID, good, member, tar

ABOVE, OTHER = "2" * 20, "3" * 20
PART = tar(member("algo.yaml", ALGO_YAML.encode()))
PROGRAM = tar(member("run.sh", b"#!/bin/sh\n", mode=0o755))


class Parts:
    """The importer of parts on a real store and a real folder."""

    def __init__(self, works: Bench) -> None:
        self.works, self.desk = works, Desk(works)
        self.importer = PartImporter(works.store, self.desk.intake, LIMITS, works.clock, self.desk.importer)

    def received(self, content: bytes) -> Received:
        with self.desk.intake.incoming() as file:
            file.write(content)
            return file.whole()

    def package(self, content: bytes = PART, origin: str = ABOVE, package_id: str = PACKAGE_ID) -> None:
        self.importer.take_package(self.received(content), "part.tar", origin, package_id)

    def program(self, content: bytes = PROGRAM, origin: str = ABOVE, kind: str = "artifact") -> None:
        self.importer.take_program(self.received(content), origin, PACKAGE_ID, kind)

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.works.folder / "packages").rglob("*") if path.is_file()]

    @property
    def waits(self) -> list[str]:
        with self.works.store.read() as tx:
            return [one.id for one in unfinished.all_of(tx)]

    @property
    def imported(self) -> list[str]:
        with self.works.store.read() as tx:
            return [row["id"] for row in packages.search(tx)]


@pytest.fixture
def parts(works: Bench) -> Parts:
    return Parts(works)


def test_a_part_waits_and_its_executable_makes_it_a_package(parts: Parts) -> None:
    parts.package()
    assert (parts.waits, parts.imported, len(parts.files)) == ([PACKAGE_ID], [], 1)
    parts.program()
    assert (parts.waits, parts.imported, len(parts.files)) == ([], [PACKAGE_ID], 1)


def test_a_package_that_is_gone_leaves_no_word_of_its_parts(parts: Parts) -> None:
    parts.package()
    with parts.works.store.read() as tx:
        before = tx.rows(Fact.select())
    parts.program()
    with parts.works.store.write() as tx:
        packages.delete(tx, PACKAGE_ID, 1)
        assert [row["name"] for row in tx.rows(Fact.select())] == [
            row["name"] for row in before if not row["name"].startswith("unfinished:")
        ]


def test_a_part_again_takes_the_place_of_the_first(parts: Parts) -> None:
    parts.package()
    parts.package(tar(member("algo.yaml", ALGO_YAML.encode()), member("more", b"x")))
    assert (parts.waits, len(parts.files)) == ([PACKAGE_ID], 1)
    parts.package()
    parts.package()
    assert (parts.waits, len(parts.files)) == ([PACKAGE_ID], 1)


@pytest.mark.parametrize(
    ("origin", "kind", "content", "fault"),
    [
        (OTHER, "artifact", PROGRAM, faults.NotFound),
        (ABOVE, "image", PROGRAM, faults.InvalidPackage),
        (ABOVE, "artifact", b"no archive", faults.InvalidPackage),
        (ABOVE, "artifact", tar(member("../x", b"x")), faults.InvalidPackage),
    ],
)
def test_an_executable_that_is_not_taken_leaves_the_part_as_it_was(
    parts: Parts, origin: str, kind: str, content: bytes, fault: type[faults.Fault]
) -> None:
    parts.package()
    before = parts.files
    with pytest.raises(fault):
        parts.program(content, origin, kind)
    assert (parts.waits, parts.imported, parts.files) == ([PACKAGE_ID], [], before)
    parts.program()
    assert parts.imported == [PACKAGE_ID]


@pytest.mark.parametrize("content", [PART, tar(*good())])
def test_what_waits_for_one_platform_is_not_taken_by_another(parts: Parts, content: bytes) -> None:
    parts.package()
    before = parts.files
    with pytest.raises(faults.Conflict, match=f"platform {ABOVE} sends one"):
        parts.package(content, OTHER)
    assert (parts.waits, parts.imported, parts.files) == ([PACKAGE_ID], [], before)
    parts.program()
    assert parts.imported == [PACKAGE_ID]


def test_an_executable_without_a_package_leaves_nothing(parts: Parts) -> None:
    with pytest.raises(faults.NotFound):
        parts.program()
    assert parts.files == []


@pytest.mark.parametrize("content", [b"", b"no tar", tar(member("other", b"x"))])
def test_what_is_no_package_leaves_nothing(parts: Parts, content: bytes) -> None:
    with pytest.raises(faults.InvalidPackage):
        parts.package(content)
    assert (parts.waits, parts.files) == ([], [])


def test_a_part_is_refused_by_what_an_import_is_refused_by(parts: Parts) -> None:
    with pytest.raises(faults.InvalidPackage, match="names the package"):
        parts.package(package_id="9" * 40)
    parts.package(origin=OTHER)
    with pytest.raises(faults.Conflict, match=OTHER):
        parts.package()
    parts.program(origin=OTHER)
    with pytest.raises(faults.Conflict, match="holds one of this ID"):
        parts.package()
    assert (parts.waits, parts.imported, len(parts.files)) == ([], [PACKAGE_ID], 1)


def test_what_waits_is_kept_by_the_sweep_of_a_start(parts: Parts) -> None:
    parts.package()
    with parts.works.store.read() as tx:
        known = [Path(one.path) for one in unfinished.all_of(tx)]
    assert parts.desk.intake.sweep(known).files == 0
    parts.program()
