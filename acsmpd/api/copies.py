"""Tables 7-10: package files on devices.

Handlers write wishes; the engine delivers and deletes. No device is called here.
"""

from __future__ import annotations

from typing import Any

from peewee import JOIN

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.spec import times
from acsmpd.spec.messages.packages import DeviceAlgoPackage
from acsmpd.store import services
from acsmpd.store.database import Tx
from acsmpd.store.installs import check_takes, serving_device
from acsmpd.store.tables import Copy, Load, Package


@handles("acsmp.push_algo_package_to_device")
def push(platform: Platform, call: Call) -> Reply:
    package_id, code = call.message.algo_file_package_id, call.message.computility_code
    with platform.store.write() as tx:
        check_takes(tx, serving_device(tx, code), package_id)
        services.want_copy(tx, package_id, code, call.now.wall_ms, asked=True)
    platform.wake()
    return Reply(settled=lambda tx: _copy_settled(tx, package_id, code), object=f"{code}/{package_id}")


def _copy_settled(tx: Tx, package_id: str, code: str) -> bool:
    row = services.copy(tx, package_id, code)
    return row is None or row["status"] == 3 or (row["status"] == 2 and row["parked"])


@handles("acsmp.delete_algo_package_from_device")
def delete_copy(platform: Platform, call: Call) -> Reply:
    """Refused while a service of the package is on the device, unless ?Force=true unloads it first.

    A foreign file, named by package and device, goes like one of ours.
    """
    package_id, code = call.path["AlgoFilePackageID"], call.path["ComputilityCode"]
    with platform.store.write() as tx:
        serving_device(tx, code)
        if services.copy(tx, package_id, code) is None:
            raise faults.NotFound(f"no package {package_id} on computility {code}")
        loads = services.loads(tx, Load.package_id == package_id, Load.device == code)
        busy = [load for load in loads if load.wanted or load.sent]
        if busy and not call.flag("Force"):
            named = ", ".join(load.service_id for load in busy)
            raise faults.Conflict(
                f"cannot delete package {package_id} from {code}: its services run there: {named}"
            )
        for load in busy:
            services.retire(tx, load.id, call.now.wall_ms)
        services.unwant_copy(tx, package_id, code, call.now.wall_ms)
    platform.wake()
    return Reply(settled=lambda tx: services.copy(tx, package_id, code) is None)


@handles("acsmp.search_device_algo_packages")
def search_copies(platform: Platform, call: Call) -> list[DeviceAlgoPackage]:
    with platform.store.read() as tx:
        serving_device(tx, call.message.computility_code)
        rows = tx.rows(_copies().where(Copy.device == call.message.computility_code))
    found = [_copy_item(platform, row) for row in rows]
    return [item for item in found if call.message.status in (None, item.status)]


@handles("acsmp.get_device_algo_package")
def get_copy(platform: Platform, call: Call) -> DeviceAlgoPackage:
    package_id, code = call.path["AlgoFilePackageID"], call.path["ComputilityCode"]
    with platform.store.read() as tx:
        serving_device(tx, code)
        row = tx.row(_copies().where(Copy.device == code, Copy.package_id == package_id))
    if row is None:
        raise faults.NotFound(f"no package {package_id} on computility {code}")
    return _copy_item(platform, row)


def _copies() -> Any:
    return (
        Copy.select(
            Copy,
            Package.name.alias("package_name"),
            Package.version.alias("package_version"),
            Package.kind.alias("package_kind"),
        )
        .join(Package, on=(Package.id == Copy.package_id), join_type=JOIN.LEFT_OUTER)
        .order_by(Copy.id)
    )


def _copy_item(platform: Platform, row: dict[str, Any]) -> DeviceAlgoPackage:
    transfer = platform.transfers.of(row["id"]) if row["status"] == 1 else None
    status = 2 if row["parked"] and row["status"] != 3 else row["status"]
    return DeviceAlgoPackage(
        algo_package_name=(row["package_name"] or row["name"] or row["package_id"])[:256],
        algo_package_type=row["package_kind"] or row["kind"] or "artifact",
        algo_package_version=(row["package_version"] or row["version"])[:256],
        algo_file_package_id=row["package_id"],
        status=status,  # type: ignore[arg-type]
        created_date=times.written(row["created_ms"], platform.zone),
        download_progress=1.0 if status == 3 else max(row["progress"], transfer.share if transfer else 0.0),
        progress_update_time=times.written(row["changed_ms"], platform.zone),
        download_error_message=row["error"][:256] if status == 2 else None,
        foreign=None if row["ours"] else True,
    )
