"""What a step carries: links, receivers, labels; how a computility is called and how it reaches us."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acsmpd.decide.cards import Card
from acsmpd.decide.steps import Rung
from acsmpd.engine import peers, stepwork
from acsmpd.engine.core import Core
from acsmpd.engine.stepwork import Item
from acsmpd.model import CreateTask, DeleteTask, Load, PauseTask, Peer, ResumeTask, Step, Unload
from acsmpd.settings import Advertised, Settings
from acsmpd.store import devices
from tests.engine.bench import INFO, SITE, Bench
from tests.store.rows import CODE, NOW, OTHER, add_task


def other_settings(works: Bench, section: str, **values: Any) -> Core:
    """The engine's surroundings with some settings changed."""
    changed = msgspec.structs.replace(getattr(works.settings, section), **values)
    settings: Settings = msgspec.structs.replace(works.settings, **{section: changed})
    return Core(**{**vars(works.core), "settings": settings})


def peer(works: Bench, code: str = CODE) -> Peer:
    with works.store.read() as tx:
        found = peers.peer_of(works.core, tx, code)
    assert found is not None
    return found


# --- who is called and how -----------------------------------------------------------------------------


def test_a_peer_carries_what_a_call_needs_and_shows_no_secret(works: Bench) -> None:
    sealer = works.core.sealer
    works.device(
        prefix="/box", pin="ab" * 32, username="u", auth="basic", password_sealed=sealer.seal("pass word")
    )
    with works.store.write() as tx:
        devices.set_current(tx, CODE, "h", sealer.seal("current token"), NOW)
        devices.add_next(tx, CODE, "h2", sealer.seal("next token"), NOW)
    found = peer(works)
    assert (found.url, found.prefix, found.pin, found.via) == (
        "http://10.0.0.1:80",
        "/box",
        "ab" * 32,
        (SITE,),
    )
    assert (found.token, found.username, found.password) == ("current token", "u", "pass word")
    assert "token" not in repr(found)
    assert "pass" not in repr(found)


def test_a_password_is_opened_only_where_it_is_sent(works: Bench) -> None:
    works.device(auth="token", password_sealed=works.core.sealer.seal("pass word"))
    assert (peer(works).password, peer(works).token) == ("", None)


def test_a_computility_nobody_knows_is_no_peer(works: Bench) -> None:
    with works.store.read() as tx:
        assert peers.peer_of(works.core, tx, CODE) is None


@pytest.mark.parametrize(
    ("ip", "scheme", "url"),
    [
        ("10.0.0.1", "http", "http://10.0.0.1:80"),
        ("fd00::1", "https", "https://[fd00::1]:80"),
        ("box.local", "http", "http://box.local:80"),
        ("", "http", ""),
    ],
)
def test_the_address_of_a_computility(works: Bench, ip: str, scheme: str, url: str) -> None:
    works.device(ip=ip, scheme=scheme)
    assert peer(works).url == url


# --- how it reaches us -------------------------------------------------------------------------------------


def test_our_address_is_the_one_that_reaches_the_other(works: Bench) -> None:
    assert peers.base_url_for(works.core, "127.0.0.1") == "http://127.0.0.1:8750"
    assert peers.base_url_for(works.core, "::1") == "http://[::1]:8750"
    assert peers.base_url_for(works.core, "") == "http://127.0.0.1:8750"
    assert peers.base_url_for(works.core, "no address at all") == "http://127.0.0.1:8750"


def test_the_port_is_the_one_we_turned_out_to_listen_on(works: Bench) -> None:
    core = Core(**{**vars(works.core), "port": lambda: 18999})
    assert peers.base_url_for(core, "127.0.0.1") == "http://127.0.0.1:18999"


def test_an_advertised_address_counts_for_its_network(works: Bench) -> None:
    core = other_settings(
        works,
        "server",
        advertise=(
            Advertised(network="10.1.0.0/16", url="http://10.1.0.5:9000/"),
            Advertised(network="10.0.0.0/8", url="https://site.example:443"),
        ),
    )
    assert peers.base_url_for(core, "10.1.2.3") == "http://10.1.0.5:9000"
    assert peers.base_url_for(core, "10.9.9.9") == "https://site.example:443"
    assert peers.base_url_for(core, "127.0.0.1") == "http://127.0.0.1:8750"
    assert peers.base_url_for(core, "box.local").startswith("http://127.0.0.1")


def test_a_receiver_is_known_again_only_if_we_signed_it(works: Bench) -> None:
    link = peers.result_link(works.core, "http://10.0.0.9:8750", "instance-1")
    assert peers.instance_of_link(works.core, link) == "instance-1"
    signature = link.rsplit("/", 1)[1]
    for other in (
        link[:-1] + ("A" if link[-1] != "A" else "B"),
        link.replace("instance-1", "instance-2"),
        f"http://h/ACSMP/Other/instance-1/{signature}",
        f"http://h/x/ACSMP/Results/instance-1/{signature}",
        "",
    ):
        assert peers.instance_of_link(works.core, other) == ""


@pytest.mark.parametrize("url", ["http://[broken/ACSMP/Results/i/s", "//[", "rtsp://x", "\x00"])
def test_an_address_a_device_shows_may_be_anything(works: Bench, url: str) -> None:
    assert peers.instance_of_link(works.core, url) == ""


def test_a_package_link_is_for_one_device_and_one_generation(works: Bench) -> None:
    one = peers.package_link(works.core, "http://h", "p", CODE, 1)
    assert one.startswith(f"http://h/ACSMP/Links/Packages/p/{CODE}/1/")
    links = {
        one,
        *(peers.package_link(works.core, "http://h", *rest) for rest in (("p", OTHER, 1), ("p", CODE, 2))),
    }
    assert len({link.rsplit("/", 1)[1] for link in links}) == 3


# --- what a task is sent ------------------------------------------------------------------------------------


def sent(
    works: Bench, core: Core | None = None, labels: dict[str, Any] | None = None, **info: Any
) -> dict[str, Any]:
    instance = {"id": "instance-1", "info": {**INFO, **info}}
    return stepwork.info_to_send(core or works.core, instance, labels, peer(works))


def test_a_device_gets_the_callers_words_our_id_and_our_receiver_alone(works: Bench) -> None:
    works.device(ip="127.0.0.1")
    rule = {"EventID": "INTRUSION", "ResultReceiveUrl": ["http://caller/r"], "ExtendParams": {"a": 1}}
    info = sent(
        works, RulesParams=[rule], Name="n", ComputilityCode=CODE, AlgoServiceID="s", Number=3, Free={"b": 2}
    )
    receiver = peers.result_link(works.core, "http://127.0.0.1:8750", "instance-1")
    assert info == {
        "ID": "instance-1", "StreamOptions": INFO["StreamOptions"], "Free": {"b": 2},
        "RulesParams": [{"EventID": "INTRUSION", "ResultReceiveUrl": [receiver], "ExtendParams": {"a": 1}}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "theirs"),
    [(["http://a", "http://b"], ["http://a", "http://b"]), ("http://a", ["http://a"]), (None, []), ("", [])],
)
def test_callers_receivers_are_told_to_the_device_only_where_asked_for(
    works: Bench, given: Any, theirs: Any
) -> None:
    works.device()
    rule = {"EventID": "INTRUSION", "ResultReceiveUrl": given}
    core = other_settings(works, "results", mode="append")
    assert sent(works, core, RulesParams=[rule])["RulesParams"][0]["ResultReceiveUrl"][1:] == theirs
    assert len(sent(works, RulesParams=[rule])["RulesParams"][0]["ResultReceiveUrl"]) == 1


def test_the_chosen_package_takes_the_place_of_the_callers_wish(works: Bench) -> None:
    works.device()
    mine = {"AlgoCaBinName": "HUMAN", "Zone": "gate"}
    chosen = {"AlgoCaBinName": "human", "Version": "1.0"}
    assert sent(works, labels=chosen, Labels=mine)["Labels"] == {**chosen, "Zone": "gate"}
    assert sent(works, Labels=mine)["Labels"] == mine  # a direct device: they go on as given
    assert "Labels" not in sent(works)


def test_an_instance_without_rules_can_be_sent(works: Bench) -> None:
    works.device()
    assert sent(works, RulesParams=None)["RulesParams"] == []


# --- from a rung to a step ------------------------------------------------------------------------------------


def step(works: Bench, kind: str, subject: str, rung: str, device: str = CODE) -> Step | None:
    item = Item(kind, subject, device, 0, Rung(rung))
    with works.store.write() as tx:
        prepared = stepwork.prepare(works.core, tx, item)
    return prepared[1] if prepared else None


@pytest.mark.parametrize(
    ("rung", "expected"),
    [
        ("delete_task", DeleteTask(task_id="77", load_id="load-1")),
        ("pause_task", PauseTask(task_id="77", load_id="load-1")),
        ("resume_task", ResumeTask(task_id="77", load_id="load-1")),
    ],
)
def test_acts_on_a_task_name_the_devices_id(works: Bench, rung: str, expected: Step) -> None:
    works.device()
    with works.store.write() as tx:
        row_id = add_task(tx, sent=True, task_id="77")
    assert step(works, "task", str(row_id), rung) == expected


def test_a_create_names_the_service_as_the_facility_does(works: Bench) -> None:
    works.device()
    works.package()
    works.load(facility_id="svc-9", sent=True)
    works.instance(restart_policy="ALWAYS")
    with works.store.write() as tx:
        row_id = add_task(tx)
    made = step(works, "task", str(row_id), "create_task")
    assert isinstance(made, CreateTask)
    assert (made.facility_service_id, made.load_id, made.restart_policy) == ("svc-9", "load-1", "ALWAYS")


def test_a_service_is_loaded_with_its_env_and_unloaded_by_its_ids(works: Bench) -> None:
    works.device()
    works.package()
    works.load(facility_id="svc-9")
    with works.store.write() as tx:
        tx.sql(
            """UPDATE service SET env = '[{"Name":"A","Value":"1"}]', args = '-v', license_url = 'http://l'"""
        )
    made = step(works, "load", "load-1", "load")
    assert isinstance(made, Load)
    assert (made.env, made.args, made.license_url, made.xpu_index) == ((("A", "1"),), "-v", "http://l", ())
    gone = Unload(
        load_id="load-1", service_id="service-load-1", package_id=made.package_id, facility_id="svc-9"
    )
    assert step(works, "load", "load-1", "unload") == gone


@pytest.mark.parametrize(
    ("kind", "subject", "rung"),
    [
        ("copy", "9", "push"), ("copy", "9", "delete_copy"), ("load", "none", "load"), ("load", "none", "unload"),
        ("task", "9", "delete_task"), ("task", "9", "create_task"),
    ],
)  # fmt: skip
def test_for_what_is_gone_there_is_nothing_to_do(works: Bench, kind: str, subject: str, rung: str) -> None:
    assert step(works, kind, subject, rung) is None  # not even the computility is known
    works.device()
    assert step(works, kind, subject, rung) is None


def test_a_task_without_its_instance_can_be_deleted_but_not_created(works: Bench) -> None:
    works.device()
    with works.store.write() as tx:
        row_id = add_task(tx, "nobody", sent=True, task_id="77")
    assert step(works, "task", str(row_id), "create_task") is None
    assert step(works, "task", str(row_id), "delete_task") is not None


def test_a_card_is_kept_over_restarts_and_shared_by_quota(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    works.package(manifest={"xpu": [{"quota": 0.5, "accelerator": "nvidia a2"}]})
    works.cards.extend(Card(index=number, uuid=f"GPU-{number}", type="NVIDIA-A2") for number in range(2))
    given = []
    for name in ("a", "b", "c"):
        works.load(name, SITE)
        made = step(works, "load", name, "load", SITE)
        assert isinstance(made, Load)
        given.append(made.xpu_index)
    assert given == [(0,), (0,), (1,)]
    works.restart()
    again = step(works, "load", "b", "load", SITE)
    assert isinstance(again, Load)
    assert (again.xpu_index, again.card_uuids) == ((0,), ("GPU-0",))


def test_a_package_for_two_kinds_of_cards_takes_the_one_that_is_there(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    works.package(manifest={"xpu": [{"accelerator": "ASCEND-310P"}, {"accelerator": "NVIDIA-A2"}]})
    works.cards.append(Card(index=4, uuid="GPU-4", type="NVIDIA-A2"))
    works.load("a", SITE)
    made = step(works, "load", "a", "load", SITE)
    assert isinstance(made, Load)
    assert (made.xpu_index, made.xpu_type) == ((4,), "NVIDIA-A2")
