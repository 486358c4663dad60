"""An import by Url that is not wanted any more: the source sees the line end within two seconds, whatever it was
doing, the state says who cancelled it, and nothing is left over (R13)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.store import asks
from acsmpd.store.database import Store
from acsmpd.store.tables import Ask
from tests.faults.sources import (
    IMPORT,
    Script,
    Watched,
    begin,
    ended,
    endless,
    hurried,
    nothing_left,
    silent_from,
    slow,
)
from tests.support.packaging import PACKAGE_ID
from tests.support.site import Answer, Site, running
from tests.support.state import refused
from tests.support.wait import wait_until
from tests.wire.servers import replying, serving

CANCEL_SECONDS = 2.0
ABOVE = "33010000005020000009"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """As it is delivered: 15 s of silence are a failed try."""
    with running(tmp_path_factory.mktemp("patient") / "data") as one:
        yield hurried(one)


@pytest.fixture(autouse=True)
def _nothing_lasts(patient: Site) -> Iterator[None]:
    yield
    nothing_left(patient)


LASTING: dict[str, Script] = {
    "drips": slow, "says nothing": silent_from(0), "falls silent": silent_from(100), "has no end": endless,
}  # fmt: skip


@pytest.mark.parametrize("what", LASTING)
def test_a_cancel_ends_the_line(patient: Site, what: str) -> None:
    source = Watched(LASTING[what])
    with serving(source) as server:
        where = begin(patient, server)
        wait_until(lambda: server.seen, what="the request")
        assert patient.client.fine("GET", where)["Status"] == "RUNNING"
        begun = time.monotonic()
        assert patient.client.delete(f"{where}?Wait=10").code == 0
        assert source.closed.wait(10)
        assert time.monotonic() - begun < CANCEL_SECONDS
        shown = patient.client.fine("GET", where)
        server.over.set()
        assert len(server.seen) == 1
    assert (shown["Status"], shown["Message"]) == ("FAILED", "the import was cancelled by key:tests")


def test_a_cancel_is_heard_in_the_pause_before_the_next_try(patient: Site) -> None:
    with serving(replying(503, b"", Retry_After="60")) as server:
        where = begin(patient, server)
        patient.until(where, lambda data: data.get("Message"))
        begun = time.monotonic()
        assert patient.client.delete(f"{where}?Wait=10").code == 0
        assert patient.client.fine("GET", where)["Status"] == "FAILED"
        assert time.monotonic() - begun < CANCEL_SECONDS
        assert len(server.seen) == 1


def test_who_waits_for_an_import_that_is_cancelled_is_told(patient: Site) -> None:
    heard: list[Answer] = []

    def wait() -> None:
        heard.append(patient.client.post(IMPORT, {"Url": f"{server.url}/p.tar"}))

    def running_ask() -> str:
        assert patient.app is not None
        with patient.app.store.read() as tx:
            row = tx.row(Ask.select(Ask.id).where(Ask.state == "running"))
        return str(row["id"]) if row else ""

    with serving(Watched(slow)) as server:
        caller = threading.Thread(target=wait)
        caller.start()
        ask_id = wait_until(running_ask, what="the import under way")
        viewer = patient.as_role("viewer")
        refused(viewer.delete(f"/ACSMP/PackageImports/{ask_id}"), 403, 40301)
        assert patient.client.delete(f"/ACSMP/PackageImports/{ask_id}").code == 0
        caller.join(20)
    refused(heard[0], 409, 40901, "the import was cancelled by key:tests")
    refused(patient.client.delete("/ACSMP/PackageImports/none"), 404, 40401, "no import none")


def test_what_a_platform_above_asked_for_is_cancelled_here_only_by_force(patient: Site) -> None:
    source = Watched(slow)
    assert patient.app is not None
    with serving(source) as server:
        arguments = {
            "Url": f"{server.url}/p.tar",
            "MD5": None,
            "Origin": ABOVE,
            "AlgoFilePackageID": PACKAGE_ID,
        }
        with patient.app.store.write() as tx:
            asks.put(tx, "of-above", "package", PACKAGE_ID, arguments, 1)
        where = "/ACSMP/PackageImports/of-above"
        said = f"import of-above was asked for by platform {ABOVE}; use ?Force=true"
        refused(patient.client.delete(where), 409, 40901, said)
        assert patient.client.fine("GET", where)["Status"] == "RUNNING"
        assert patient.client.delete(f"{where}?Force=true&Wait=10").code == 0
        assert patient.client.fine("GET", where)["Status"] == "FAILED"


def test_a_platform_above_that_deletes_what_is_being_fetched_ends_it(patient: Site) -> None:
    above, source, files = patient.as_role("federation"), Watched(slow), "/CAD/Machine/AlgoFilePackages"
    with serving(source) as server:
        push = {"AlgoFilePackageID": PACKAGE_ID, "Url": f"{server.url}/p.tar"}
        assert above.post(files, push).code == "0"
        wait_until(lambda: server.seen, what="the request")
        begun = time.monotonic()
        gone = above.delete(f"{files}/{PACKAGE_ID}")
        assert (gone.code, gone.message) == ("40401", f"no package {PACKAGE_ID}")
        assert source.closed.wait(10)
        assert time.monotonic() - begun < CANCEL_SECONDS
        said = above.post("/CAD/Machine/AlgoPackages", {"AlgoFilePackageID": PACKAGE_ID})
        assert "could not be fetched: withdrawn by the platform that asked for it" in said.message


def test_a_cancel_outlives_a_restart(tmp_path: Path) -> None:
    """Withdrawn, and cut before the engine could say that it has stopped."""
    with serving(slow) as server, running(tmp_path / "site") as one:
        where = begin(one, server)
        wait_until(lambda: server.seen, what="the request")
        one.stop()
        store = Store(one.data / "acsmpd.db").open()
        with store.write() as tx:
            [row] = asks.waiting(tx, "package")
            asks.withdraw(tx, row, 1, 40901, "the import was cancelled")
        store.close()
        one.start()
        shown = ended(one, where)
        assert (shown["Status"], shown["Message"]) == ("FAILED", "the import was cancelled")
        assert len(server.seen) == 1
        assert list((one.data / "packages" / "incoming").iterdir()) == []
