"""What a pass asks about results, sources and runs goes by their own keys, not through all there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.clock import Moment
from acsmpd.store import pipelines
from acsmpd.store.database import Store, Tx
from tests.store.rows import NOW, add_instance


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    """A transaction on a file with a few instances, most of them this site's own and wanted."""
    store = Store(tmp_path / "acsmpd.db").open()
    with store.write() as tx:
        for name, more in {
            "ours": {},
            "theirs": {"origin": "above"},
            "gone": {"deleted": True},
            "made": {"deleted": True, "capability": "B"},
        }.items():
            add_instance(tx, name, **more)
        yield tx
    store.close()


def ways(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways SQLite goes for what is asked from now on."""
    found: list[str] = []
    plain = Tx._rows, Tx.rows

    def explained(self: Tx, text: str, values: tuple[object, ...]) -> object:
        found.extend(row[3] for row in plain[0](self, f"EXPLAIN QUERY PLAN {text}", values))
        return plain[0](self, text, values)

    def selected(self: Tx, query: object) -> object:
        text, values = self.text(query)
        found.extend(row[3] for row in plain[0](self, f"EXPLAIN QUERY PLAN {text}", tuple(values)))
        return plain[1](self, query)

    monkeypatch.setattr(Tx, "_rows", explained)
    monkeypatch.setattr(Tx, "rows", selected)
    return found


def run(tx: Tx, pipeline: str, stream: str, **more: object) -> int:
    values = {
        "pipeline_id": pipeline, "stream": stream, "result_id": 1, "source_id": "ours", "matched_ms": NOW,
        "begun_ms": NOW, "mono": 1.0, "boot_id": "boot", "instance_id": f"{pipeline}{stream}", **more,
    }  # fmt: skip
    return pipelines.add_run(tx, **values)


def test_sources_are_ours_and_wanted_or_set_going_by_a_pipeline(
    tx: Tx, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipelines.sources(tx, []) == {}
    found = ways(tx, monkeypatch)
    assert pipelines.sources(tx, ["ours", "theirs", "gone", "made", "nobody", "ours"]).keys() == {
        "ours",
        "made",
    }
    assert {way for way in found if "instance" in way or "SCAN" in way} == {
        "SEARCH t1 USING INDEX instance_id (id=?)"
    }


def test_results_are_found_by_their_numbers(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ways(tx, monkeypatch)
    assert pipelines.results(tx, 5, 9, ["A", "B"], 200) == []
    assert all("rowid>? AND rowid<?" in way for way in found if "t1" in way)
    assert found


def test_the_newest_run_of_each_stream_is_found_in_one_question(
    tx: Tx, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tx, "p", "1")
    over = run(tx, "p", "1", ended_ms=NOW, matched_ms=NOW + 5)
    task, shot = run(tx, "p", "2"), run(tx, "q", "1", picture=0)
    run(tx, "r", "1")
    run(tx, "q", "3")
    found = ways(tx, monkeypatch)
    newest = pipelines.newest_runs(tx, ["p", "q"], ["1", "2"])
    assert sorted(newest) == [
        ("p", "1", over, NOW + 5, ""), ("p", "2", task, NOW, "p2"), ("q", "1", shot, NOW, ""),
    ]  # fmt: skip
    assert not [way for way in found if "SCAN" in way]
    assert pipelines.newest_runs(tx, [], []) == []


def test_more_results_for_a_run_begin_its_time_anew_only_while_it_runs(tx: Tx) -> None:
    waits, runs = run(tx, "p", "1"), run(tx, "p", "2", status="RUNNING", elapsed_seconds=7.0)
    for one in (waits, runs):
        pipelines.go_on(tx, one, 3, NOW + 9, Moment(NOW, 50.0, "boot"))
    rows = tx.rows(pipelines.runs())
    assert [(row["matches"], row["matched_ms"]) for row in rows] == [(4, NOW + 9)] * 2
    assert [(row["mono"], row["elapsed_seconds"]) for row in rows] == [(1.0, 0.0), (50.0, 0.0)]


def test_seen_is_set_for_those_named_and_goes_back_only_behind_the_newest(tx: Tx) -> None:
    for name in "pqrs":
        pipelines.add(
            tx, id=name, capability="A", target="B", rules=[], action="TASK", event_ids=[], area_ids=[], plan_ids=[],
            seen={"q": 5, "r": 8}.get(name, 50), created_ms=NOW, modified_ms=NOW,
        )  # fmt: skip
    pipelines.have_seen(tx, ["p", "q", "r"], 7, 9)
    pipelines.have_seen(tx, [], 9, 9)
    pipelines.skip(tx, "s", 4)
    assert [(row["seen"], row["skipped"]) for row in pipelines.rows(tx)] == [(7, 0), (7, 0), (8, 0), (50, 4)]
