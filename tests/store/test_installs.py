"""The wishes of tables 7 and 11: written whole or refused with words and nothing written."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd import faults
from acsmpd.store import services
from acsmpd.store.database import Store, Tx
from acsmpd.store.installs import Wanted, install, package_of, serving_device
from acsmpd.store.tables import Load
from tests.store.rows import CODE, NOW, OTHER, PACKAGE, add_device, add_load, add_package

ENV = [{"Name": "LOG_LEVEL", "Value": "info"}]


def wish(tx: Tx, code: str = CODE, **more: Any) -> tuple[str, bool]:
    made = install(tx, serving_device(tx, code), PACKAGE, Wanted(**{"env": [], **more}), NOW)
    return made.service_id, made.is_new


def test_a_service_and_its_file_are_wished_for(store: Store) -> None:
    with store.write() as tx:
        add_device(tx)
        add_package(tx)
        service_id, is_new = wish(tx, env=ENV, license_url="http://l/1", origin="above")
        row, copy, loads = (
            services.service(tx, service_id),
            services.copy(tx, PACKAGE, CODE),
            services.loads(tx),
        )
    assert is_new
    assert row is not None
    assert (row["env"], row["license_url"], row["origin"], row["replicas"]) == (ENV, "http://l/1", "above", 1)
    assert [(one.service_id, one.device, one.wanted, one.sent) for one in loads] == [
        (service_id, CODE, True, False)
    ]
    assert copy is not None
    assert (copy["wanted"], copy["asked"], copy["origin"]) == (True, False, "above")


def test_a_cad_has_one_and_this_box_a_new_one_each_time(store: Store) -> None:
    with store.write() as tx:
        add_device(tx)
        add_device(tx, OTHER, type="AI_BOX", family="local")
        add_package(tx)
        first, _ = wish(tx)
        assert wish(tx) == (first, False)
        mine, is_new = wish(tx, OTHER, replicas=3)
        assert is_new
        assert wish(tx, OTHER)[0] != mine
        assert len(services.loads(tx, Load.service_id == mine)) == 3


def test_one_that_was_refused_is_tried_afresh_and_a_foreign_one_becomes_ours(store: Store) -> None:
    with store.write() as tx:
        add_device(tx)
        add_package(tx)
        add_load(tx, parked=True, ours=False)
        assert wish(tx) == ("service-1", False)
        [load] = services.loads(tx)
        assert (load.parked, load.ours) == (False, True)


@pytest.mark.parametrize(
    ("load", "wanted", "kind", "words"),
    [
        ({"wanted": False}, {}, faults.Conflict, "still being unloaded"),
        ({"ours": False}, {"env": ENV}, faults.Conflict, "loaded by somebody else"),
        ({}, {"env": ENV}, faults.Conflict, "with another Env"),
        ({}, {"replicas": 2}, faults.ReplicasNotPossible, "not 2"),
    ],
)
def test_what_is_in_the_way_is_named_and_nothing_written(
    store: Store, load: dict[str, Any], wanted: dict[str, Any], kind: type[faults.Fault], words: str
) -> None:
    with store.write() as tx:
        add_device(tx)
        add_package(tx)
        add_load(tx, **load)
        with pytest.raises(kind, match=words):
            wish(tx, **wanted)
        assert services.copy(tx, PACKAGE, CODE) is None
        assert len(services.loads(tx)) == 1


def test_who_is_not_known_and_who_takes_no_services_is_told(store: Store) -> None:
    with store.write() as tx:
        add_device(tx, support_services=False)
        with pytest.raises(faults.NoServicesHere, match=CODE):
            serving_device(tx, CODE)
        with pytest.raises(faults.NotFound, match=f"no computility {OTHER}"):
            serving_device(tx, OTHER)
        with pytest.raises(faults.NotFound, match=f"no package {PACKAGE}"):
            package_of(tx, PACKAGE)
