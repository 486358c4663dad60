"""Extension: one package for many devices, in waves. Handlers write the wish; the engine carries it out."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.paging import echoed
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.services import kept_env
from acsmpd.decide import rollouts as decide
from acsmpd.decide import windows
from acsmpd.decide.environment import check_local
from acsmpd.decide.rollouts import IN_WINDOW, Counts, Ledger, Member, Selector, Terms, Times
from acsmpd.spec import times
from acsmpd.spec.messages.rollouts import Rollout, RolloutMember, RolloutQuery, RolloutRequest
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.reading import read_form
from acsmpd.store import devices, packages, rollouts
from acsmpd.store.database import Tx
from acsmpd.store.installs import package_of, serving
from acsmpd.store.rows import MAX_PAGE, Page

LOOKS = 2
"""So often a service has to be seen running, unless a rollout says for how long."""

MOST_MEMBERS, MOST_KEPT = 10_000, 100
"""Devices of one rollout; rollouts that are kept, of which those that ended first go first."""

Row = dict[str, Any]


@handles("acsmp.create_rollout")
def create(platform: Platform, call: Call) -> Reply:
    """Check and record the wish; devices by name and by selector together, each once."""
    asked, now = call.message, call.now.wall_ms
    hours = _judged(asked)
    env = kept_env(asked.env)
    load = asked.load is not False
    with platform.store.write() as tx:
        package = package_of(tx, asked.algo_file_package_id)
        codes = _members(tx, asked)
        if load:
            _check_here(platform, package, codes, env)
        _refuse_other_versions(tx, package, codes)
        _make_room(tx, now)
        rollout_id = rollouts.add(
            tx, codes, name=asked.name or "", package_id=package["id"], load=load, env=env,
            license_url=asked.license_file, most=asked.max_unavailable or 1,
            threshold=asked.failure_threshold or 1, windows=hours, created_ms=now, changed_ms=now,
            min_ready=_ready_seconds(platform, asked) if load else 0,
        )  # fmt: skip
    platform.wake()
    return Reply(rollout_id, settled=lambda tx: _is_over(tx, rollout_id), object=str(rollout_id))


def _ready_seconds(platform: Platform, asked: RolloutRequest) -> int:
    """Unless it is asked for, so long that a service is seen running twice."""
    if asked.min_ready_seconds is not None:
        return asked.min_ready_seconds
    return math.ceil(LOOKS * platform.settings.observe.interval_seconds)


def _judged(asked: RolloutRequest) -> list[str] | None:
    """What can be said without the store; the windows as they are kept."""
    codes = asked.computility_codes
    if codes is None and asked.selector is None:
        raise faults.MissingField("$.ComputilityCodes: required where there is no Selector")
    if codes is not None and not codes and asked.selector is None:
        raise faults.InvalidField("$.ComputilityCodes: names no computility")
    if asked.load is False and (asked.env or asked.license_file):
        name = "Env" if asked.env else "LicenseFile"
        raise faults.InvalidField(f"$.{name}: is for a service, and Load is false")
    if asked.load is False and asked.min_ready_seconds is not None:
        raise faults.InvalidField("$.MinReadySeconds: is for a service, and Load is false")
    if asked.dispatch_window is None:
        return None
    if not asked.dispatch_window:
        raise faults.InvalidField("$.DispatchWindow: holds no window; without it any time will do")
    return windows.written(windows.parse(asked.dispatch_window, "$.DispatchWindow"))


def _members(tx: Tx, asked: RolloutRequest) -> list[str]:
    """The codes in order; those that are named have to be able to take a package."""
    named = list(dict.fromkeys(asked.computility_codes or ()))
    _refuse_too_many(named, "$.ComputilityCodes")
    known = devices.all_devices(tx)
    for code in named:
        serving(known.get(code), code)
    if asked.selector is None:
        return named
    wanted = Selector(
        type=asked.selector.type or "",
        organisation=asked.selector.organisation or "",
        tags=asked.selector.tags or (),
        region=asked.selector.region or "",
    )
    if wanted.is_empty:
        raise faults.InvalidField("$.Selector: names none of Type, Organisation, Tags and Region")
    found = list(dict.fromkeys([*named, *decide.selected(devices.all_rows(tx), wanted)]))
    if not found:
        raise faults.InvalidField("$.Selector: no computility that takes packages fits it")
    _refuse_too_many(found, "$.Selector")
    return found


def _refuse_too_many(codes: list[str], path: str) -> None:
    if len(codes) > MOST_MEMBERS:
        raise faults.InvalidField(f"{path}: {len(codes)} computilities, at most {MOST_MEMBERS} are taken")


def _check_here(platform: Platform, package: Row, codes: list[str], env: list[dict[str, str]]) -> None:
    """What this box itself cannot load is refused at once, as table 11 does."""
    if platform.local_code in codes:
        check_local(package, env)


def _refuse_other_versions(tx: Tx, package: Row, codes: list[str]) -> None:
    """Two versions of one package must not race for a device."""
    wanted = set(codes)
    for other in rollouts.of_other_versions(tx, package):
        counts = _counts(tx, other["id"])
        statuses = ("IN_PROGRESS",) if counts.failed >= other["threshold"] else rollouts.OPEN
        for member in rollouts.members(tx, other["id"], *statuses):
            if member["device"] in wanted:
                raise faults.Conflict(
                    f"{_named(other)} brings version {other['version']} of {package['name']} to computility "
                    f"{member['device']}; wait for it, or delete it"
                )


def _make_room(tx: Tx, now_ms: int) -> None:
    while rollouts.number(tx) >= MOST_KEPT:
        oldest = rollouts.oldest_ended(tx)
        if oldest is None:
            raise faults.Conflict(f"{MOST_KEPT} rollouts are under way, and no more are kept: delete one")
        rollouts.drop(tx, oldest, now_ms)


def _is_over(tx: Tx, rollout_id: int) -> bool:
    row = rollouts.get(tx, rollout_id)
    return row is None or row["ended_ms"] is not None


# --- how far they are --------------------------------------------------------------------------------------


@handles("acsmp.list_rollouts")
def search(platform: Platform, call: Call) -> list[Rollout]:
    with platform.store.read() as tx:
        rows = rollouts.all_rows(tx)
        numbers = rollouts.counts(tx, *(row["id"] for row in rows))
        return [
            _item(platform, tx, row, decide.counts_of(numbers[row["id"]]), call.now.wall_ms) for row in rows
        ]


@handles("acsmp.get_rollout")
def get(platform: Platform, call: Call) -> Rollout:
    """With a page of its members: all of them up to 1000, unless less is asked for."""
    names = ("Status", "PageNumber", "PageSize")
    asked, _ignored = read_form(
        RolloutQuery, {name: call.query[name] for name in names if call.query.get(name)}
    )
    page = Page(min(asked.page_number or 1, 2**53 // MAX_PAGE), min(asked.page_size or MAX_PAGE, MAX_PAGE))
    rollout_id, now_ms = call.path["ID"], call.now.wall_ms
    with platform.store.read() as tx:
        row = _row(tx, rollout_id)
        counts = _counts(tx, rollout_id)
        item = _item(platform, tx, row, counts, now_ms)
        found = rollouts.members(
            tx, rollout_id, *([asked.status] if asked.status else []),
            limit=page.size, offset=(page.number - 1) * page.size,
        )  # fmt: skip
        item.members = _members_shown(platform, tx, row, item.state, found, now_ms)
    item.page_request = echoed(page)
    return item


def _row(tx: Tx, rollout_id: int) -> Row:
    row = rollouts.get(tx, rollout_id)
    if row is None:
        raise faults.NotFound(f"no rollout {rollout_id}")
    return row


def _counts(tx: Tx, rollout_id: int) -> Counts:
    return decide.counts_of(rollouts.counts(tx, rollout_id)[rollout_id])


def _named(row: Row) -> str:
    return f"rollout {row['id']}" + (f" ({row['name']})" if row["name"] else "")


def _item(platform: Platform, tx: Tx, row: Row, counts: Counts, now_ms: int) -> Rollout:
    state = decide.state(counts, threshold=row["threshold"], paused=row["paused"])
    return Rollout(
        id=row["id"],
        algo_file_package_id=row["package_id"],
        name=row["name"] or None,
        load=row["load"],
        env=[EnvItem(name=item["Name"], value=item["Value"]) for item in row["env"]] or None,
        license_file=row["license_url"],
        max_unavailable=row["most"],
        failure_threshold=row["threshold"],
        dispatch_window=row["windows"],
        min_ready_seconds=row["min_ready"] if row["load"] else None,
        state=state,  # type: ignore[arg-type]
        reason=_reason(platform, tx, row, state, counts, now_ms),
        total_count=counts.total,
        waiting_count=counts.waiting,
        in_progress_count=counts.in_progress,
        done_count=counts.done,
        failed_count=counts.failed,
        progress=counts.percent,
        created_date=times.written(row["created_ms"], platform.zone) or "",
        end_date=times.written(row["ended_ms"], platform.zone),
    )


def _reason(platform: Platform, tx: Tx, row: Row, state: str, counts: Counts, now_ms: int) -> str | None:
    """Who failed and why, and what it waits for."""
    said = []
    if counts.failed:
        said.append(decide.told(rollouts.failures(tx, row["id"], decide.NAMED), counts))
    if state == "FAILED" and counts.in_progress:
        said.append(f"{counts.in_progress} that had begun are carried through")
    hours = windows.parse(row["windows"] or ())
    if state == "RUNNING" and not windows.is_open(hours, now_ms, platform.zone):
        opens = times.written(windows.next_change(hours, now_ms, platform.zone), platform.zone)
        said.append(f"{IN_WINDOW}, which opens {opens}")
    return "; ".join(said)[:4096] or None


def _members_shown(
    platform: Platform, tx: Tx, row: Row, state: str, found: list[Row], now_ms: int
) -> list[RolloutMember]:
    package = packages.get(tx, row["package_id"])
    terms = decide.terms_of(row, package["md5"] if package else None, now_ms, platform.zone)
    codes = [member["device"] for member in found if member["status"] == "IN_PROGRESS"]
    ledger = Ledger(**rollouts.held(tx, row["package_id"], codes))
    return [_member(platform, member, _why(member, state, ledger, terms)) for member in found]


def _why(member: Row, state: str, ledger: Ledger, terms: Terms) -> str:
    """What a member waits for, by what the engine decides; why it failed, as it was noted."""
    if member["status"] == "IN_PROGRESS":
        turn = decide.next_for(msgspec.convert(member, Member), ledger, terms, Times())
        return turn.why or "its turn has begun"
    if member["status"] != "WAITING":
        return str(member["reason"])
    if state == "FAILED":
        return "the rollout stopped before its turn"
    if state == "PAUSED":
        return "the rollout is paused"
    return "waits for its turn" if terms.is_open else IN_WINDOW


def _member(platform: Platform, row: Row, reason: str) -> RolloutMember:
    return RolloutMember(
        computility_code=row["device"],
        status=row["status"],
        reason=reason or None,
        wave=row["wave"] or None,
        algo_service_id=row["service_id"] or None,
        begin_date=times.written(row["begun_ms"], platform.zone),
        end_date=times.written(row["ended_ms"], platform.zone),
    )


# --- changing them -----------------------------------------------------------------------------------------


@handles("acsmp.delete_rollout")
def delete(platform: Platform, call: Call) -> Reply:
    """What is on devices, or on its way there, stays; what has not left is withdrawn."""
    rollout_id, now = call.path["ID"], call.now.wall_ms
    with platform.store.write() as tx:
        row = _row(tx, rollout_id)
        for member in rollouts.members(tx, rollout_id, "IN_PROGRESS"):
            rollouts.withdraw(tx, row["package_id"], member, now)
        rollouts.drop(tx, rollout_id, now)
    platform.wake()
    return Reply()


@handles("acsmp.pause_rollout")
def pause(platform: Platform, call: Call) -> Reply:
    return _change(platform, call, "pause", paused=True)


@handles("acsmp.resume_rollout")
def resume(platform: Platform, call: Call) -> Reply:
    """By ?Force=true at once: its dispatch window is dropped."""
    at_once: Row = {"windows": None} if call.flag("Force") else {}
    return _change(platform, call, "resume", paused=False, **at_once)


def _change(platform: Platform, call: Call, verb: str, **values: Any) -> Reply:
    """Idempotent while something of it may still begin."""
    rollout_id = call.path["ID"]
    with platform.store.write() as tx:
        row = _row(tx, rollout_id)
        counts = _counts(tx, rollout_id)
        state = decide.state(counts, threshold=row["threshold"], paused=row["paused"])
        if state in ("FAILED", "FINISHED"):
            hint = "; a new one skips what is done" if state == "FAILED" else ""
            raise faults.Conflict(f"cannot {verb} {_named(row)}: it is {state}{hint}")
        rollouts.change(tx, rollout_id, changed_ms=call.now.wall_ms, **values)
    platform.wake()
    return Reply()
