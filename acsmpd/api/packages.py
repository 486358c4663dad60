"""Tables 1-6: package files of the platform and the capabilities read out of them."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from peewee import fn

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between
from acsmpd.api.guard import media_type
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.waiting import hold, wait_seconds
from acsmpd.packages.intake import Received
from acsmpd.packages.multipart import Part, multipart_parts
from acsmpd.spec import times
from acsmpd.spec.messages.capabilities import AlgoDef, AlgoDefPageRequest, AlgoDefPageResponseData
from acsmpd.spec.messages.extensions import PackageImport
from acsmpd.spec.messages.packages import AlgoFilePackageForm, AlgoFilePackageItem, ImportedPackage
from acsmpd.spec.reading import read_form, read_strict
from acsmpd.store import asks, packages, plans, services
from acsmpd.store.database import Tx
from acsmpd.store.rows import Page, joined_page_of
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import Capability, Copy, Load, Package

STATUS_WORDS = {
    "DEPLOYABLE": "可部署", "DEPLOYING": "部署中", "DEPLOY_FAILED": "部署失败", "PUBLISHED": "已发布",
    "STOPPING": "停止中",
}  # fmt: skip


# --- table 1 -----------------------------------------------------------------------------------------


@handles("acsmp.import_algo_file_package")
def import_package(platform: Platform, call: Call) -> Reply:
    """Upload (multipart) or fetch (Url). The Url form is an ask: answered by the engine, waited for here."""
    media = media_type(call.content_type)
    if media == "multipart/form-data":
        return _import_form(platform, call)
    if media not in ("application/json", ""):
        raise faults.UnsupportedMedia(
            f"the body is {media[:80]}; send multipart/form-data or application/json"
        )
    stream = call.stream or io.BytesIO()
    form, _ignored = read_strict(AlgoFilePackageForm, stream.read(65536))
    return _import_url(platform, call, form)


def _import_form(platform: Platform, call: Call) -> Reply:
    """Stream the parts: the file goes to its folder as it arrives, fields before or after it."""
    received: Received | None = None
    name = ""
    fields: dict[str, str] = {}
    assert call.stream is not None  # noqa: S101  (this row streams)
    try:
        for part in multipart_parts(call.stream, call.content_type, call.content_length):
            if part.name.casefold() == "file" and received is None:
                name, received = part.filename or "", _receive(platform, part, call.content_length, fields)
            elif part.name.casefold() == "file":
                raise faults.InvalidField("File: given twice")
            else:
                fields[_printed(part.name)] = part.text()
        if received is None:
            form, _ignored = read_form(AlgoFilePackageForm, fields)
            return _import_url(platform, call, form)
        if fields.get("Url"):
            raise faults.InvalidField("File and Url are given; exactly one of them is wanted")
        if fields.get("MD5"):
            platform.intake.check_md5(received, fields["MD5"])
    except BaseException:
        if received is not None:
            platform.intake.discard(received)
        raise
    package_id = platform.import_file(received, name)
    platform.wake()
    return Reply(ImportedPackage(algo_file_package_id=package_id), object=package_id)


def _receive(platform: Platform, part: Part, length: int | None, fields: dict[str, str]) -> Received:
    return platform.intake.receive(part.stream, None, fields.get("MD5") or None, room_bytes=length)


def _printed(name: str) -> str:
    return {"url": "Url", "md5": "MD5"}.get(name.casefold(), name[:64])


def _import_url(platform: Platform, call: Call, form: AlgoFilePackageForm) -> Reply:
    if not form.url:
        raise faults.MissingField("exactly one of File and Url is wanted, and neither is given")
    platform.egress.judge_url(form.url)
    ask_id = str(uuid.uuid4())
    with platform.store.write() as tx:
        asks.put(tx, ask_id, asks.PACKAGE, form.url, {"Url": form.url, "MD5": form.md5}, call.now.wall_ms)
    platform.wake()
    given = call.query.get("Wait")
    seconds = wait_seconds(given) if given else float(platform.settings.packages.url_wait_seconds)
    if not hold(platform, seconds, lambda tx: _ended(tx, ask_id)):
        raise faults.NoAnswerInTime(f"the package is still being fetched; see /ACSMP/PackageImports/{ask_id}")
    with platform.store.read() as tx:
        row = asks.get(tx, ask_id)
    answer: dict[str, Any] = (row or {}).get("answer") or {}
    if not answer.get("AlgoFilePackageID"):
        raise _stored_fault(answer)
    package_id = str(answer["AlgoFilePackageID"])
    return Reply(ImportedPackage(algo_file_package_id=package_id), object=package_id)


def _ended(tx: Tx, ask_id: str) -> bool:
    row = asks.get(tx, ask_id)
    return row is None or row["state"] in ("done", "failed")


def _stored_fault(answer: dict[str, Any]) -> faults.Fault:
    """The fault the engine met, raised again where the caller waits."""
    return faults.of_code(int(answer.get("Code") or 50000), str(answer.get("Message") or "the import failed"))


@handles("acsmp.get_package_import")
def show_import(platform: Platform, call: Call) -> PackageImport:
    with platform.store.read() as tx:
        row = _import(tx, call.path["ID"])
    answer = row["answer"] or {}
    state = {"done": "DONE", "failed": "FAILED"}.get(row["state"], "RUNNING")
    return PackageImport(
        id=row["id"],
        status=state,  # type: ignore[arg-type]
        received=row["received"],
        size=row["size"],
        message=answer.get("Message"),
        algo_file_package_id=answer.get("AlgoFilePackageID"),
    )


@handles("acsmp.cancel_package_import")
def cancel_import(platform: Platform, call: Call) -> Reply:
    """The engine stops the fetch. One whose file is whole already may still become a package."""
    ask_id = call.path["ID"]
    with platform.store.write() as tx:
        row = _import(tx, ask_id)
        if row["state"] not in asks.WAITING:
            raise faults.Conflict(f"cannot cancel import {ask_id}: it is over")
        origin = row["arguments"].get("Origin")
        if origin and not call.flag("Force"):
            raise faults.Conflict(f"import {ask_id} was asked for by platform {origin}; use ?Force=true")
        words = f"the import was cancelled by {call.caller.shown}"
        asks.withdraw(tx, row, call.now.wall_ms, faults.Conflict.code, words)
    platform.wake()
    return Reply(settled=lambda tx: _ended(tx, ask_id), object=ask_id)


def _import(tx: Tx, ask_id: str) -> dict[str, Any]:
    row = asks.get(tx, ask_id)
    if row is None or row["kind"] != asks.PACKAGE:
        raise faults.NotFound(f"no import {ask_id}")
    return row


# --- tables 2-4 ----------------------------------------------------------------------------------------


@handles("acsmp.delete_algo_file_package")
def delete_package(platform: Platform, call: Call) -> Reply:
    """Without services at once; with them only by ?Force=true, which unloads them first."""
    package_id, now = call.path["ID"], call.now.wall_ms
    with platform.store.write() as tx:
        package = _package(tx, package_id)
        loads = packages.loads_of(tx, package_id)
        if loads and not call.flag("Force"):
            named = ", ".join(f"{row['service_id']} on {row['device']}" for row in loads[:20])
            raise faults.Conflict(f"cannot delete package {package_id}: services of it exist: {named}")
        if package["origin"] and not call.flag("Force"):
            raise faults.Conflict(
                f"package {package_id} came from platform {package['origin']}; use ?Force=true"
            )
        for row in loads:
            if row["ours"]:
                services.retire(tx, row["id"], now)
            else:
                plans.vacate(tx, row["id"], now)
        packages.delete(tx, package_id, now)
    platform.intake.remove(Path(package["path"]))
    platform.wake()
    ours = Copy.select().where(Copy.package_id == package_id, Copy.ours == True)
    return Reply(settled=lambda tx: not tx.row(ours))


PACKAGE_ORDERS = {
    "AlgoFilePackageID": Package.id, "AlgoFilePackageName": Package.name, "Provider": Package.provider,
    "AlgoFilePackageType": Package.kind, "AlgoFilePackageVersion": Package.version,
    "CreatedDate": Package.created_ms,
}  # fmt: skip


@handles("acsmp.search_algo_file_packages")
def search_packages(platform: Platform, call: Call) -> list[AlgoFilePackageItem]:
    """The full list, as printed; a page of it only when PageRequest is given."""
    asked = call.message
    conditions = [Package.id != ""]
    if asked.algo_file_package_name:
        conditions.append(Package.name.contains(asked.algo_file_package_name))
    if asked.algo_file_package_type:
        conditions.append(Package.kind == asked.algo_file_package_type)
    if asked.algo_file_package_ids is not None:
        conditions.append(Package.id.in_(asked.algo_file_package_ids))
    if asked.algo_file_package_version:
        conditions.append(Package.version == asked.algo_file_package_version)
    if asked.provider:
        conditions.append(Package.provider.contains(asked.provider))
    conditions += created_between(platform, asked, Package.created_ms)
    with platform.store.read() as tx:
        if asked.page_request is None:
            rows = packages.search(tx, *conditions)
        else:
            page = _oldest_first(page_of(asked))
            rows, _total = rows_of(
                tx, Package, [Package.id != "", *conditions], page, PACKAGE_ORDERS, Package.id
            )
    return [_item(platform, row) for row in rows]


def _oldest_first(page: Page) -> Page:
    return replace(page, order=page.order or (("CreatedDate", False),))


@handles("acsmp.get_algo_file_package")
def get_package(platform: Platform, call: Call) -> AlgoFilePackageItem:
    with platform.store.read() as tx:
        return _item(platform, _package(tx, call.path["ID"]))


def _package(tx: Tx, package_id: str) -> dict[str, Any]:
    row = packages.get(tx, package_id)
    if row is None:
        raise faults.NotFound(f"no package {package_id}")
    return row


def _item(platform: Platform, row: dict[str, Any]) -> AlgoFilePackageItem:
    return AlgoFilePackageItem(
        algo_file_package_name=row["name"],
        algo_file_package_type=row["kind"],
        algo_file_package_version=row["version"],
        algo_file_package_id=row["id"],
        provider=row["provider"],
        created_date=times.written(row["created_ms"], platform.zone),
    )


# --- tables 5-6 ----------------------------------------------------------------------------------------

ORDERS = {
    "ID": Capability.created_ms, "Name": Capability.name, "Code": Capability.code,
    "CreatedDate": Capability.created_ms, "LastModifiedDate": Capability.modified_ms,
}  # fmt: skip


@handles("acsmp.search_algo_defs")
def search_capabilities(platform: Platform, call: Call) -> AlgoDefPageResponseData:
    asked, page = call.message, page_of(call.message)
    with platform.store.read() as tx:
        states = _statuses(tx)
        query = _capabilities().where(*_capability_filters(platform, asked, states))
        rows, total = joined_page_of(tx, query, page, ORDERS, Capability.code)
    return AlgoDefPageResponseData(
        page_content=[_capability(platform, row, states) for row in rows],
        total=total,
        page_request=echoed(page),
    )


@handles("acsmp.get_algo_def")
def get_capability(platform: Platform, call: Call) -> AlgoDef:
    with platform.store.read() as tx:
        row = tx.row(_capabilities().where(Capability.code == call.path["Code"]))
        if row is None:
            raise faults.NotFound(f"no capability {call.path['Code'][:256]}")
        return _capability(platform, row, _statuses(tx))


def _capabilities() -> Any:
    return Capability.select(Capability, Package.provider, Package.version, Package.kind).join(
        Package, on=(Package.id == Capability.package_id)
    )


def _capability_filters(platform: Platform, asked: AlgoDefPageRequest, states: dict[str, str]) -> list[Any]:
    conditions: list[Any] = [Capability.code != ""]
    if asked.name:
        conditions.append(Capability.name.contains(asked.name))
    if asked.algo_def_codes is not None:
        conditions.append(Capability.code.in_(asked.algo_def_codes))
    if asked.algo_data_type:
        conditions.append(Capability.data_type == asked.algo_data_type)
    if asked.source_type == "API":
        conditions.append(Capability.code == "")  # every capability here comes as an engine
    if asked.engine_code_list is not None:
        conditions.append(Capability.package_id.in_(asked.engine_code_list))
    if asked.task_type:
        conditions.append(fn.INSTR(Capability.task_types, f'"{asked.task_type}"') > 0)
    if asked.status:
        fitting = [package for package, state in states.items() if state == asked.status]
        here = Capability.package_id.in_(fitting)
        conditions.append(
            here | Capability.package_id.not_in(list(states)) if asked.status == "DEPLOYABLE" else here
        )
    return conditions + created_between(platform, asked, Capability.created_ms)


def _statuses(tx: Tx) -> dict[str, str]:
    """package id -> status of its capabilities (conventions section 3), for packages with loads."""
    found = {package: _status(counts) for package, counts in packages.counts_by_package(tx).items()}
    stopping = tx.rows(Load.select(Load.package_id).where(Load.wanted == False).distinct())
    return {**{row["package_id"]: "STOPPING" for row in stopping}, **found}


def _status(counts: dict[str, int]) -> str:
    if counts.get("RUNNING") or counts.get("OVERLOAD"):
        return "PUBLISHED"
    return "DEPLOYING" if counts.get("INIT") or counts.get("UNSPECIFIED") else "DEPLOY_FAILED"


def _capability(platform: Platform, row: dict[str, Any], states: dict[str, str]) -> AlgoDef:
    status = states.get(row["package_id"], "DEPLOYABLE")
    return AlgoDef(
        name=row["name"],
        code=row["code"],
        description=row["description"] or None,
        provider=row["provider"],
        algo_data_type=row["data_type"],
        source_type="ENGINE",
        source=row["package_id"],
        version=row["version"],
        status=status,  # type: ignore[arg-type]
        status_desc=STATUS_WORDS.get(status),
        task_types=row["task_types"],
        task_fields=row["task_fields"],
        created_date=times.written(row["created_ms"], platform.zone),
        last_modified_date=times.written(row["modified_ms"], platform.zone),
    )
