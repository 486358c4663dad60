"""Which tasks of a device are ours: by its id, by our id, by our receiver, else by likeness; never two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.ownership import Matched, Wanted, match
from acsmpd.model import SeenTask, TaskRow
from tests.decide.rows import QUICK, task

STREAM = "rtsp://10.0.0.9/1"
GATE = Wanted(STREAM, frozenset({"INTRUSION"}))
INSTANCE = "9d3c4a52-3c1f-4d0e-9a55-7d0f7f4f0001"


def seen(task_id: str, **more: object) -> SeenTask:
    return SeenTask(task_id=task_id, status="RUNNING", **more)  # type: ignore[arg-type]


def unknown(row_id: int = 1, instance: str = INSTANCE) -> TaskRow:
    return task(id=row_id, instance_id=instance, task_id="", status="PENDING")


def like(task_id: str) -> SeenTask:
    return seen(task_id, stream_url=STREAM, event_ids=("INTRUSION",))


def ids(matched: Matched) -> tuple[dict[int, str], tuple[int, ...], list[str]]:
    found = {row: one.task_id for row, one in matched.found.items()}
    return found, matched.missing, [one.task_id for one in matched.foreign]


def test_a_recorded_task_is_known_by_the_devices_id_alone() -> None:
    row = task(id=4, task_id="77")
    assert ids(match([row], {}, [seen("77"), seen("78")])) == ({4: "77"}, (), ["78"])


@pytest.mark.parametrize(
    "shown",
    [
        seen(INSTANCE),
        seen("5", receive_urls=("http://other/x", f"http://10.0.0.1:8750/ACSMP/Results/{INSTANCE}/sig")),
    ],
)
def test_an_unknown_create_is_known_by_what_we_sent(shown: SeenTask) -> None:
    assert ids(match([unknown()], {}, [like("9"), shown])) == ({1: shown.task_id}, (), ["9"])


def test_our_own_id_counts_for_more_than_our_receiver() -> None:
    by_url = seen("5", receive_urls=(f"http://x/{INSTANCE}",))
    assert ids(match([unknown()], {}, [by_url, seen(INSTANCE)]))[0] == {1: INSTANCE}


def test_else_by_the_only_task_of_that_stream_and_those_events() -> None:
    assert ids(match([unknown()], {INSTANCE: GATE}, [like("5")])) == ({1: "5"}, (), [])


@pytest.mark.parametrize(
    "shown",
    [
        seen("5", stream_url=STREAM, event_ids=("CLIMB",)),
        seen("5", stream_url=STREAM, event_ids=("INTRUSION", "CLIMB")),
        seen("5", stream_url=STREAM + "2", event_ids=("INTRUSION",)),
        seen("5"),
    ],
)
def test_a_task_that_is_only_nearly_alike_is_foreign(shown: SeenTask) -> None:
    assert ids(match([unknown()], {INSTANCE: GATE}, [shown])) == ({}, (1,), ["5"])


def test_two_alike_are_both_foreign() -> None:
    assert ids(match([unknown()], {INSTANCE: GATE}, [like("5"), like("6")])) == ({}, (1,), ["5", "6"])


def test_two_rows_that_could_claim_one_task_both_go_without() -> None:
    rows = [unknown(1, "a"), unknown(2, "b")]
    assert ids(match(rows, {"a": GATE, "b": GATE}, [like("5")])) == ({}, (1, 2), ["5"])


def test_an_instance_without_a_stream_is_not_matched_by_likeness() -> None:
    bare = Wanted("", frozenset({"INTRUSION"}))
    shown = seen("5", event_ids=("INTRUSION",))
    assert ids(match([unknown()], {INSTANCE: bare}, [shown])) == ({}, (1,), ["5"])


def test_a_row_that_was_never_sent_claims_nothing() -> None:
    row = task(id=1, instance_id=INSTANCE, sent=False, task_id="")
    assert ids(match([row], {INSTANCE: GATE}, [like("5"), seen(INSTANCE)])) == ({}, (), ["5", INSTANCE])


def test_events_are_compared_without_order() -> None:
    wanted = Wanted(STREAM, frozenset({"CLIMB", "INTRUSION"}))
    shown = seen("5", stream_url=STREAM, event_ids=("INTRUSION", "CLIMB"))
    assert ids(match([unknown()], {INSTANCE: wanted}, [shown]))[0] == {1: "5"}


names = st.sampled_from(["a", "b", "c"])
streams = st.sampled_from(["", STREAM, STREAM + "2"])
events = st.frozensets(st.sampled_from(["INTRUSION", "CLIMB"]), max_size=2)
shown_tasks = st.lists(
    st.builds(
        lambda task_id, url, found, to: seen(
            task_id, stream_url=url, event_ids=tuple(found), receive_urls=tuple(f"http://x/{one}" for one in to)
        ),
        st.sampled_from(["a", "1", "2", "3", "4"]), streams, events, st.lists(names, max_size=1),
    ),
    unique_by=lambda one: one.task_id, max_size=5,
)  # fmt: skip


@st.composite
def ledgers(draw: st.DrawFn) -> list[TaskRow]:
    rows = draw(st.lists(st.tuples(names, st.sampled_from(["", "", "1", "2"]), st.booleans()), max_size=5))
    taken: set[str] = set()
    found = []
    for number, (instance, task_id, sent) in enumerate(rows):
        task_id = "" if task_id in taken else task_id
        taken.add(task_id)
        found.append(task(id=number, instance_id=instance, task_id=task_id, sent=sent))
    return found


@QUICK
@given(ledger=ledgers(), wanted=st.dictionaries(names, st.builds(Wanted, streams, events)), shown=shown_tasks)
def test_every_task_and_every_row_is_told_exactly_once(
    ledger: list[TaskRow], wanted: dict[str, Wanted], shown: list[SeenTask]
) -> None:
    matched = match(ledger, wanted, shown)
    given_out = [one.task_id for one in matched.found.values()]
    assert len(set(given_out)) == len(given_out)
    assert sorted([*given_out, *(one.task_id for one in matched.foreign)]) == sorted(o.task_id for o in shown)
    sent = {row.id for row in ledger if row.sent}
    assert set(matched.found) | set(matched.missing) == sent
    assert not set(matched.found) & set(matched.missing)


@QUICK
@given(ledger=ledgers(), wanted=st.dictionaries(names, st.builds(Wanted, streams, events)), shown=shown_tasks)
def test_likeness_claims_only_what_is_unmistakable(
    ledger: list[TaskRow], wanted: dict[str, Wanted], shown: list[SeenTask]
) -> None:
    by_id = {row.id: row for row in ledger}
    recorded = {row.task_id for row in ledger if row.sent and row.task_id}
    for row_id, one in match(ledger, wanted, shown).found.items():
        row = by_id[row_id]
        ours = row.task_id == one.task_id or row.instance_id == one.task_id
        if ours or any(row.instance_id in url for url in one.receive_urls):
            continue
        alike = wanted[row.instance_id]
        assert (one.stream_url, frozenset(one.event_ids)) == (alike.stream_url, alike.event_ids)
        assert one.task_id not in recorded
