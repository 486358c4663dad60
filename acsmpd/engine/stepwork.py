"""From a rung to a step: what is read from the store to perform it, and what is marked before it leaves."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from acsmpd.decide.cards import Assignment, Share, Wish, assign
from acsmpd.decide.clusters import Image, image_of
from acsmpd.decide.nodes import Node, node_for
from acsmpd.decide.steps import Rung
from acsmpd.engine import peers
from acsmpd.engine.core import Core
from acsmpd.faults import Temporary
from acsmpd.model import (
    AUTH_SERVER,
    PICKS_CARDS,
    PULLS_IMAGES,
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Load,
    LoadRow,
    PauseTask,
    Peer,
    Push,
    PushProgram,
    ResumeTask,
    Scale,
    Step,
    Unload,
    UpdateTask,
    brings_own,
    needs_authorisation,
)
from acsmpd.store import (
    authservers,
    devices,
    ledger,
    licences,
    packages,
    pipelines,
    plans,
    services,
    upstreams,
)
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy


class Item(Struct, frozen=True):
    """One subject of one pass: kind copy | load | task, its key in the store, and the rung to take."""

    kind: str
    subject: str
    device: str
    attempts: int
    rung: Rung

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.subject}"

    @property
    def try_key(self) -> str:
        """What a pause holds up: this step only, so that a new wish need not wait for the old one's."""
        return f"{self.key}:{self.rung.step}"


def prepare(core: Core, tx: Tx, item: Item) -> tuple[Peer, Step] | None:
    """The peer and the step, from the rows as they are now; None if there is nothing left to do it for."""
    peer = peers.peer_of(core, tx, item.device)
    if peer is None:
        return None
    step = {"copy": _copy_step, "load": _load_step, "task": _task_step}[item.kind](core, tx, item, peer)
    if step is None:
        return None
    return (_in_chain(tx, peer, _origin(tx, item)) if core.settings.upstream else peer), step


def _origin(tx: Tx, item: Item) -> str:
    """Who wanted this: "" the site itself, else a platform above."""
    if item.kind == "copy":
        row = tx.row(Copy.select().where(Copy.id == int(item.subject)))
        package = packages.get(tx, row["package_id"]) if row else None
        return str((row and row["origin"]) or (package and package["origin"]) or "")
    if item.kind == "load":
        load = services.load(tx, item.subject)
        service = services.service(tx, load.service_id) if load else None
        return str(service["origin"]) if service else ""
    task = plans.task(tx, int(item.subject))
    instance = plans.any_instance(tx, task.instance_id) if task else None
    return str(instance["origin"]) if instance else ""


def _in_chain(tx: Tx, peer: Peer, origin: str) -> Peer:
    """The peer, told which platforms a wish from above has passed: in a ring it is refused by the first of them."""
    return replace(peer, via=(*upstreams.chain(tx, origin), *peer.via)) if origin else peer


def _copy_step(core: Core, tx: Tx, item: Item, peer: Peer) -> Step | None:
    row = tx.row(Copy.select().where(Copy.id == int(item.subject)))
    if row is None:
        return None
    if item.rung.step == "delete_copy":
        return DeleteCopy(package_id=row["package_id"])
    package = packages.get(tx, row["package_id"])
    if package is None:
        return None
    base = peers.base_url_for(core, _host_of(peer))
    if item.rung.step == "push_program":
        return PushProgram(
            package_id=package["id"], path=package["path"], package_md5=package["md5"],
            url=peers.program_link(core, base, package["id"], item.device, row["generation"]),
        )  # fmt: skip
    server, licence = _authorisation(core, tx, package, item.device)
    return Push(
        package_id=package["id"],
        url=peers.package_link(core, base, package["id"], item.device, row["generation"]),
        path=package["path"],
        md5=package["md5"],
        auth_address=server or None,
        license_url=peers.license_link(core, base, licence["id"], item.device) if licence else None,
        image=package["manifest"].get("remote_uri") or "",
    )


def _host_of(peer: Peer) -> str:
    return peer.url.split("://", 1)[-1].rsplit(":", 1)[0].strip("[]")


def _load_step(core: Core, tx: Tx, item: Item, peer: Peer) -> Step | None:
    load = services.load(tx, item.subject)
    service = services.service(tx, load.service_id) if load else None
    if load is None or service is None:
        return None
    if item.rung.step == "unload":
        return Unload(
            load_id=load.id,
            service_id=load.service_id,
            package_id=load.package_id,
            facility_id=load.facility_id,
            again=ledger.may_have_come_through(tx, item.kind, item.subject, item.rung.step),
        )
    if item.rung.step == "scale":
        replicas = services.replicas_by(tx, load, service)
        return Scale(load_id=load.id, facility_id=load.facility_id, replicas=replicas)
    cards = _cards_for(core, tx, load) if item.device == core.local_code else None
    node = _node_for(tx, load, service) if peer.family in PICKS_CARDS else Node()
    package = packages.get(tx, load.package_id)
    image = (
        image_of(package["manifest"], node.xpu_type) if package and peer.family in PULLS_IMAGES else Image()
    )
    given = {entry["Name"] for entry in service["env"]}
    env = [one for one in image.env if one[0] not in given]
    env += [(entry["Name"], entry["Value"]) for entry in service["env"]]
    server, link, path = "", service["license_url"], None
    if package is not None and not brings_own(service["env"], service["license_url"]):
        server, licence = _authorisation(core, tx, package, item.device)
        if needs_authorisation(package["manifest"]) and not (server or licence):
            raise Temporary(
                f"package {package['id']} needs authorisation, and there is no good licence of {package['provider']} "
                f"for {item.device}, and no server"
            )
        if licence is not None:
            base = peers.base_url_for(core, _host_of(peer))
            link = peers.license_link(core, base, licence["id"], item.device)
            path = str(core.data / licence["path"])
    if server:
        env = [*(one for one in env if one[0] != AUTH_SERVER), (AUTH_SERVER, server)]
    return Load(
        load_id=load.id,
        service_id=load.service_id,
        package_id=load.package_id,
        env=tuple(env),
        args=service["args"],
        license_url=link,
        license_path=path,
        xpu_index=tuple(card.index for card in cards.cards) if cards else (),
        xpu_type=cards.cards[0].type if cards else node.xpu_type,
        card_uuids=tuple(card.uuid for card in cards.cards) if cards else (),
        replicas=services.replicas_by(tx, load, service),
        host=node.host,
        facility_id=load.facility_id,
        image=image.address,
        command=image.command,
        xpu=image.xpu,
    )


def _authorisation(
    core: Core, tx: Tx, package: dict[str, Any], device: str
) -> tuple[str, dict[str, Any] | None]:
    """The provider's default server, or a licence, which comes first; ("", None) where the package needs neither."""
    if not needs_authorisation(package["manifest"]):
        return "", None
    licence = licences.given(tx, package["provider"], device, core.clock.now().wall_ms)
    return ("" if licence else authservers.default_of(tx, package["provider"])), licence


def _cards_for(core: Core, tx: Tx, load: LoadRow) -> Assignment | None:
    """The cards of this box a load gets, kept over restarts; None when its package runs on CPU."""
    package = packages.get(tx, load.package_id)
    wishes = (package["manifest"].get("xpu") or []) if package else []
    if not wishes:
        return None
    reasons = []
    taken = [
        Share(load_id=one.load_id, index=one.index, quota=one.quota)
        for one in services.card_shares(tx, core.local_code)
    ]
    for xpu in wishes:
        wish = Wish(
            load_id=load.id, quota=xpu.get("quota") or 1.0, accelerator=xpu.get("accelerator") or None,
            vendor=xpu.get("vendor") or None,
        )  # fmt: skip
        found = assign(core.cards(), taken, wish)
        if isinstance(found, Assignment):
            indexes = [share.index for share in found.shares]
            services.change_load(
                tx, load.id, xpu_index=indexes, xpu_type=found.cards[0].type, xpu_quota=found.shares[0].quota
            )
            return found
        reasons.append(found)
    raise Temporary("; ".join(reasons))


def _node_for(tx: Tx, load: LoadRow, service: dict[str, Any]) -> Node:
    """Where on a facility of several nodes a load goes, and the card it asks for there; kept with the load."""
    package, infos = packages.get(tx, load.package_id), devices.infos(tx).get(load.device, [])
    wishes = (package["manifest"].get("xpu") or []) if package else []
    node = node_for(infos, wishes, service["host"], service["xpu_type"])
    if node.trouble:
        raise Temporary(f"computility {load.device}: {node.trouble}")
    services.change_load(tx, load.id, xpu_type=node.xpu_type)
    return node


def _task_step(core: Core, tx: Tx, item: Item, peer: Peer) -> Step | None:
    task = plans.task(tx, int(item.subject))
    if task is None:
        return None
    load_id, kind = task.load_id, item.rung.step
    if kind == "delete_task":
        return DeleteTask(task_id=task.task_id, load_id=load_id)
    if kind == "pause_task":
        return PauseTask(task_id=task.task_id, load_id=load_id)
    if kind == "resume_task":
        return ResumeTask(task_id=task.task_id, load_id=load_id)
    instance = plans.any_instance(tx, task.instance_id)
    if instance is None:
        return None
    info = info_to_send(core, instance, task.labels, peer)
    run = pipelines.run_of(tx, instance["id"]) if instance["type"] == "IMAGE_REALTIME" else None
    if run is not None and run["picture"] is not None:
        link = peers.picture_link(core, peers.base_url_for(core, _host_of(peer)), instance["id"])
        info["StreamOptions"] = {"VideoStreamOptions": {"Url": link}}
    if kind == "update_task":
        info["ID"] = task.task_id
        return UpdateTask(
            task_id=task.task_id, info=info, restart_policy=instance["restart_policy"], load_id=load_id,
            facility_service_id=_service_there(tx, load_id),
        )  # fmt: skip
    return CreateTask(
        info=info, restart_policy=instance["restart_policy"], load_id=load_id,
        facility_service_id=_service_there(tx, load_id),
    )  # fmt: skip


def _service_there(tx: Tx, load_id: str | None) -> str | None:
    """What a load's device calls it."""
    load = services.load(tx, load_id) if load_id else None
    return (load.facility_id or None) if load else None


def info_to_send(
    core: Core, instance: dict[str, Any], labels: dict[str, Any] | None, peer: Peer
) -> dict[str, Any]:
    """The AlgoTaskInfo a device gets: the caller's words, our receiver, our ID, the chosen package's labels."""
    info = {name: value for name, value in instance["info"].items() if name not in plans.OWN_COLUMNS}
    info["ID"] = instance["id"]
    receiver = peers.result_link(core, peers.base_url_for(core, _host_of(peer)), instance["id"])
    append = core.settings.results.mode == "append"
    info["RulesParams"] = [
        {**rule, "ResultReceiveUrl": [receiver, *(_as_list(rule.get("ResultReceiveUrl")) if append else [])]}
        for rule in info.get("RulesParams") or []
    ]
    if labels is not None:
        info["Labels"] = {**(info.get("Labels") or {}), **labels}
    return info


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def mark_sent(tx: Tx, item: Item, now_ms: int) -> dict[str, Any]:
    """Say in the ledger's row that the step is leaving: from here on the device may have it.

    Returns what of the row becomes true only when the step is done; of a copy or a load, what was true
    before and stays so when this step does not happen (a re-load, a re-push).
    """
    step = item.rung.step
    values: dict[str, Any] = {"attempts": item.attempts + 1, "changed_ms": now_ms}
    if item.kind == "copy":
        if step == "push":
            md5 = _md5_now(tx, item)
            values |= {
                "sent": True,
                "status": 1,
                "missing": 0,
                "progress": 0.0,
                "md5": md5,
                "lacks_program": False,
            }
        before = services.copies(tx, Copy.id == int(item.subject))
        change(tx, item, **values)
        held = [
            {"sent": one.sent, "md5": one.md5, "status": one.status, "lacks_program": one.lacks_program}
            for one in before
        ]
        return held[0] if held else {}
    if item.kind == "load":
        if step == "load":
            values |= {"sent": True, "status": "INIT", "missing": 0, "facility_id": ""}
        load = services.load(tx, item.subject)
        change(tx, item, **values)
        return {"sent": load.sent, "facility_id": load.facility_id} if load and step == "load" else {}
    after = _held_after(tx, item)
    if step == "create_task":
        values |= {"sent": True, "task_id": "", "missing": 0, "status": "PENDING", **after}
    change(tx, item, **values)
    return after if step == "update_task" else {}


def count_try(tx: Tx, item: Item, now_ms: int) -> None:
    """Count a try that ended before anything could leave."""
    change(tx, item, attempts=item.attempts + 1, changed_ms=now_ms)


def change(tx: Tx, item: Item, **values: Any) -> None:
    """Change the item's row in the ledger."""
    if item.kind == "copy":
        services.change_copy(tx, int(item.subject), **values)
    elif item.kind == "load":
        services.change_load(tx, item.subject, **values)
    else:
        plans.change_task(tx, int(item.subject), **values)


def _md5_now(tx: Tx, item: Item) -> str:
    row = tx.row(Copy.select(Copy.package_id).where(Copy.id == int(item.subject)))
    package = packages.get(tx, row["package_id"]) if row else None
    return str(package["md5"]) if package else ""


def _held_after(tx: Tx, item: Item) -> dict[str, Any]:
    """Which revision and policy the device will hold when it has taken this."""
    task = plans.task(tx, int(item.subject))
    instance = plans.any_instance(tx, task.instance_id) if task else None
    if instance is None:
        return {}
    return {"revision": instance["revision"], "policy": instance["restart_policy"]}


def forget(tx: Tx, kind: str, subject: str) -> None:
    """Drop a row whose subject is gone from its device."""
    if kind == "copy":
        services.drop_copy(tx, int(subject))
    elif kind == "load":
        services.drop_load(tx, subject)
    else:
        plans.drop_task(tx, int(subject))
