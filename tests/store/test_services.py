"""Copies of packages on devices, services and their loads: wishes, and what is unsettled."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.store import plans, services
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Copy, Load
from tests.store.rows import CODE, NOW, OTHER, PACKAGE, add_load, add_package, add_task

# --- copies ------------------------------------------------------------------------------------------


def wished(tx: Tx, **more: Any) -> dict[str, Any]:
    services.want_copy(tx, PACKAGE, CODE, NOW, asked=False)
    row = services.copy(tx, PACKAGE, CODE)
    assert row is not None
    if more:
        services.change_copy(tx, row["id"], **more)
    return now_of(tx)


def now_of(tx: Tx) -> dict[str, Any]:
    row = services.copy(tx, PACKAGE, CODE)
    assert row is not None
    return row


def test_a_new_wish_is_a_row_that_was_not_sent(store: Store) -> None:
    with store.write() as tx:
        row = wished(tx)
        assert (row["wanted"], row["asked"], row["sent"], row["status"], row["generation"]) == (
            True, False, False, 1, 0,
        )  # fmt: skip
        assert services.copy(tx, PACKAGE, OTHER) is None
        assert [one.id for one in services.copies(tx)] == [row["id"]]
        assert services.copies(tx, Copy.device == OTHER) == []


def test_wishing_again_gives_a_refused_copy_a_fresh_try_and_keeps_what_is_there(store: Store) -> None:
    with store.write() as tx:
        wished(tx, parked=True, sent=True, status=3, attempts=4, asked=True)
        services.want_copy(tx, PACKAGE, CODE, NOW + 1, asked=False)
        row = now_of(tx)
    assert (row["parked"], row["sent"], row["status"], row["attempts"], row["asked"]) == (
        False,
        True,
        3,
        4,
        True,
    )


def test_wishing_back_what_was_to_go_starts_counting_anew(store: Store) -> None:
    with store.write() as tx:
        wished(tx, attempts=4, missing=2, sent=True)
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
        gone = now_of(tx)
        assert (gone["wanted"], gone["asked"], gone["generation"], gone["attempts"]) == (False, False, 1, 0)
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
        row = now_of(tx)
    assert (row["wanted"], row["asked"], row["generation"], row["missing"]) == (True, True, 1, 0)


def test_every_time_a_copy_is_wished_away_its_links_are_void(store: Store) -> None:
    with store.write() as tx:
        for expected in (1, 2, 3):
            wished(tx)
            services.unwant_copy(tx, PACKAGE, CODE, NOW)
            assert now_of(tx)["generation"] == expected


@pytest.mark.parametrize(
    ("more", "unsettled"),
    [
        ({"sent": True, "status": 3, "md5": "m1"}, False),
        ({"sent": False, "status": 3, "md5": "m1"}, True),
        ({"sent": True, "status": 1, "md5": "m1"}, True),
        ({"sent": True, "status": 2, "md5": "m1"}, True),
        ({"sent": True, "status": 3, "md5": "m0"}, True),  # stale
        ({"sent": True, "status": 3, "md5": "m1", "missing": 1}, False),
        ({"sent": True, "status": 3, "md5": "m1", "missing": 2}, True),
        ({"sent": True, "status": 3, "md5": "m1", "wanted": False}, True),
    ],
)
def test_which_copies_are_unsettled(store: Store, more: dict[str, Any], unsettled: bool) -> None:
    with store.write() as tx:
        add_package(tx)
        row = wished(tx, **more)
        found = services.unsettled_copies(tx)
        assert [one["id"] for one in found] == ([row["id"]] if unsettled else [])
        assert all(one["platform_md5"] == "m1" for one in found)
        assert services.unsettled_copies(tx, row["id"]) == found
        assert services.unsettled_copies(tx, row["id"] + 1) == []


def test_a_copy_of_a_deleted_package_is_not_stale(store: Store) -> None:
    with store.write() as tx:
        wished(tx, sent=True, status=3, md5="m0")
        assert services.unsettled_copies(tx) == []
        wished(tx, status=1)
        assert services.unsettled_copies(tx)[0]["platform_md5"] is None


@pytest.mark.parametrize(
    ("more", "md5", "status"),
    [
        ({"sent": True, "status": 1, "md5": "m1"}, "m1", 3),
        ({"sent": True, "status": 1, "md5": "m2"}, "m1", 1),  # a file that was replaced meanwhile
        ({"sent": False, "status": 1, "md5": "m1"}, "m1", 1),
        ({"sent": True, "status": 2, "md5": "m1"}, "m1", 2),
        (
            {"sent": True, "status": 2, "md5": "m1", "parked": True},
            "m1",
            3,
        ),  # given up, and fetched after all
        ({"sent": False, "status": 2, "md5": "m1", "parked": True}, "m1", 2),
    ],
)
def test_a_fetched_file_counts_only_for_the_push_it_belongs_to(
    store: Store, more: dict[str, Any], md5: str, status: int
) -> None:
    with store.write() as tx:
        row = wished(tx, error="slow", **more)
        services.arrived(tx, row["id"], md5, NOW + 7)
        after = now_of(tx)
    assert after["status"] == status
    assert (after["progress"], after["error"]) == ((1.0, "") if status == 3 else (0.0, "slow"))


def test_a_dropped_copy_leaves_its_number_unused(store: Store) -> None:
    with store.write() as tx:
        first = wished(tx)["id"]
        services.drop_copy(tx, first)
        assert wished(tx)["id"] > first


# --- services and loads --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "unsettled"),
    [
        ({"sent": True, "status": "RUNNING"}, False),
        ({"sent": True, "status": "INIT"}, False),
        ({"sent": False, "status": "INIT"}, True),
        ({"sent": True, "status": "ERROR"}, True),
        ({"sent": True, "status": "RUNNING", "wanted": False}, True),
        ({"sent": True, "status": "INIT", "missing": 1}, False),
        ({"sent": True, "status": "INIT", "missing": 2}, True),
    ],
)
def test_which_loads_are_unsettled(store: Store, more: dict[str, Any], unsettled: bool) -> None:
    with store.write() as tx:
        add_load(tx, **more)
        assert [one.id for one in services.unsettled_loads(tx)] == (["load-1"] if unsettled else [])
        assert [one.id for one in services.unsettled_loads(tx, "load-1")] == (["load-1"] if unsettled else [])
        assert services.unsettled_loads(tx, "load-2") == []


@pytest.mark.parametrize(
    ("more", "leaving"),
    [
        ({"wanted": False, "sent": True}, True),
        ({"wanted": False, "sent": False}, False),
        ({"wanted": True, "sent": True}, False),
        ({"wanted": False, "sent": True, "device": OTHER}, False),
        ({"wanted": False, "sent": True, "package_id": "other"}, False),
    ],
)
def test_whether_an_older_load_of_the_package_is_still_leaving(
    store: Store, more: dict[str, Any], leaving: bool
) -> None:
    with store.write() as tx:
        add_load(tx, "old", **more)
        add_load(tx, "new", wanted=True)
        new, old = services.load(tx, "new"), services.load(tx, "old")
        assert new is not None
        assert old is not None
        assert services.is_leaving(tx, new) is leaving
        assert services.is_leaving(tx, old) is False  # never for itself


def test_the_service_goes_with_its_last_load(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1")
        add_load(tx, "l2", device=OTHER)
        services.drop_load(tx, "l1")
        assert services.service(tx, "service-1") is not None
        services.drop_load(tx, "l2")
        assert services.service(tx, "service-1") is None
        services.drop_load(tx, "l2")  # twice is fine
        assert services.load(tx, "l2") is None


def test_a_service_changes_without_touching_others(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1", "s1")
        add_load(tx, "l2", "s2")
        services.change_service(tx, "s1", env=[{"Name": "A", "Value": "1"}], replicas=3)
        one, other = services.service(tx, "s1"), services.service(tx, "s2")
        assert one is not None
        assert other is not None
        assert (one["env"], one["replicas"]) == ([{"Name": "A", "Value": "1"}], 3)
        assert (other["env"], other["replicas"]) == ([], 1)
        services.change_load(tx, "l1", status="RUNNING")
        assert [load.status for load in services.loads(tx)] == ["RUNNING", "INIT"]
        rows = tx.rows(services.search(Load.device == CODE).order_by(Load.id))
        assert [(row["load_id"], row["id"], row["status"]) for row in rows] == [
            ("l1", "s1", "RUNNING"), ("l2", "s2", "INIT"),
        ]  # fmt: skip


def test_where_a_service_is_starting(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1", sent=True, status="INIT")
        add_load(tx, "l2", sent=True, status="INIT")
        add_load(tx, "l3", device=OTHER, sent=True, status="RUNNING")
        add_load(tx, "l4", device=OTHER, sent=False, status="INIT")
        add_load(tx, "l5", device=OTHER, sent=True, status="INIT", wanted=False)
        assert services.starting_on(tx) == {CODE}


# --- what lies on a load -------------------------------------------------------------------------------


def test_tasks_that_may_be_on_a_load_hold_it(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, sent=True)
        add_task(tx, sent=False)
        add_task(tx, sent=True, wanted="gone")
        add_task(tx, sent=False, wanted="gone")
        add_task(tx, sent=True, load_id="load-2")
        assert services.tasks_on(tx, "load-1") == 3
        assert services.tasks_on(tx, "load-3") == 0


def test_streams_taken_count_once_for_each_capability(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, capabilities=["A", "B"])
        add_task(tx, capabilities=[], sent=True)
        add_task(tx, wanted="gone", sent=True)  # not deleted there yet
        add_task(tx, wanted="gone", sent=False)
        add_task(tx, load_id=None)
        add_task(tx, load_id="load-2", capabilities=["A"])
        for wanted in ("running", "gone"):
            add_task(tx, wanted=wanted, sent=True, status="FINISHED")  # its file has ended
        add_task(tx, load_id="load-3", wanted="gone", sent=True)
        assert services.leaving_streams(tx) == {"load-1": 1, "load-3": 1}
        tx.sql("DELETE FROM task WHERE load_id = 'load-3'")
        assert services.used_streams(tx) == {"load-1": 4, "load-2": 1}
        assert services.leaving_streams(tx) == {"load-1": 1}


@pytest.mark.parametrize(
    ("task", "used", "leaving"),
    [
        ({"wanted": "paused", "sent": True, "status": "RUNNING"}, 1, 1),
        ({"wanted": "paused", "sent": True, "status": "PENDING"}, 1, 1),
        ({"wanted": "paused", "sent": True, "status": "PAUSED"}, 0, 0),
        ({"wanted": "paused", "sent": True, "status": "FINISHED"}, 0, 0),
        ({"wanted": "paused", "sent": False, "status": "PENDING"}, 0, 0),
        ({"wanted": "running", "sent": True, "status": "ERROR"}, 1, 0),
        ({"wanted": "running", "sent": True, "status": "FINISHED"}, 0, 0),
        ({"wanted": "gone", "sent": True, "status": "PAUSED"}, 1, 1),
    ],
)
def test_a_stream_is_taken_until_the_device_has_let_go(
    store: Store, task: dict[str, Any], used: int, leaving: int
) -> None:
    with store.write() as tx:
        row = add_task(tx, **task)
        found = plans.task(tx, row)
        assert services.used_streams(tx).get("load-1", 0) == used
        assert services.leaving_streams(tx).get("load-1", 0) == leaving
    assert found is not None
    assert found.stopping is (task["wanted"] == "paused" and used == 1)


def test_cards_are_held_while_a_load_is_wanted_or_may_run(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1", xpu_index=[0, 1], xpu_quota=1.0)
        add_load(tx, "l2", xpu_index=[2], xpu_quota=0.5, wanted=False, sent=True)
        add_load(tx, "l3", xpu_index=[3], xpu_quota=0.5, wanted=False, sent=False)
        add_load(tx, "l4", xpu_index=[4], xpu_quota=0.5, device=OTHER)
        add_load(tx, "l5")
        shares = [(one.load_id, one.index, one.quota) for one in services.card_shares(tx, CODE)]
    assert shares == [("l1", 0, 1.0), ("l1", 1, 1.0), ("l2", 2, 0.5)]


def test_after_a_restart_the_engines_of_this_box_and_their_tasks_are_gone(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "here", sent=True, status="RUNNING", missing=1, xpu_index=[1])
        add_load(tx, "there", device=OTHER, sent=True, status="RUNNING")
        running = add_task(tx, sent=True, task_id="1", status="RUNNING")
        done = add_task(tx, sent=True, task_id="2", status="FINISHED")
        leaving = add_task(tx, sent=True, task_id="3", status="FINISHED", wanted="gone")
        elsewhere = add_task(tx, sent=True, task_id="4", status="RUNNING", device=OTHER)
        services.local_engines_ended(tx, CODE, NOW + 1)
        here, there = services.load(tx, "here"), services.load(tx, "there")
        assert here is not None
        assert there is not None
        assert (here.sent, here.status, here.missing, here.xpu_index) == (False, "INIT", 0, [1])
        assert (there.sent, there.status) == (True, "RUNNING")
        rows = {row[0]: row[1:] for row in tx.sql("SELECT id, sent, task_id, status FROM task")}
    assert rows[running] == (0, "", "PENDING")
    assert rows[done] == (1, "2", "FINISHED")  # its work is done and is not done again
    assert rows[leaving] == (0, "", "PENDING")
    assert rows[elsewhere] == (1, "4", "RUNNING")
