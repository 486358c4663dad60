"""What a result is made of: its identity, its moment, its pictures, and the form real boxes send it in.

Bodies are plain dicts here on purpose: members nobody knows are kept and handed on (conventions section 7).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from acsmpd import faults
from acsmpd.spec import times

Json = dict[str, Any]

MAX_PICTURES = 64
"""Pictures kept of one result; further ones get a note."""
MAX_IMAGES = 256
"""Entries of Images, with or without a picture."""
UNUSABLE = "no usable address"
"""The destination of every address that is none, so that those hold up nobody else."""

_YEAR_2001_MS, _YEAR_2096_MS = 10**12, 4 * 10**12
_DATA_URL = re.compile(r"data:[^,]{0,100};base64,")
_BOUNDARY = re.compile(rb"""(?:\r\n)?--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r\n""")
_KINDS = ((b"\xff\xd8\xff", "image/jpeg", ".jpg"), (b"\x89PNG\r\n\x1a\n", "image/png", ".png"))
_UNKNOWN_KIND = ("application/octet-stream", ".bin")
PICTURE_TYPES = (*(content_type for _, content_type, _ in _KINDS), _UNKNOWN_KIND[0])
"""What a picture may be answered as."""


# --- pictures -----------------------------------------------------------------------------------------


def picture_kind(head: bytes) -> tuple[str, str]:
    """(content type, suffix) by the first bytes; what a sender says of a picture is not believed."""
    for magic, content_type, suffix in _KINDS:
        if head.startswith(magic):
            return content_type, suffix
    return _UNKNOWN_KIND


def split_pictures(body: Mapping[str, Any]) -> tuple[Json, list[tuple[int, str]]]:
    """The body without picture data, and (place in Images, base64 text) of every picture it carried."""
    images = body.get("Images")
    if not isinstance(images, list):
        return dict(body), []
    found = [
        (place, image["Data"])
        for place, image in enumerate(images)
        if isinstance(image, dict) and image.get("Data")
    ]
    bare = [_without(image, "Data") if isinstance(image, dict) else image for image in images]
    return {**body, "Images": bare}, found


def read_picture(text: str, max_bytes: int) -> bytes:
    """The bytes of a base64 text, with or without blanks and a data: prefix. Raises InvalidField, TooLarge."""
    plain = "".join(_DATA_URL.sub("", text[:120], count=1).split()) + "".join(text[120:].split())
    if len(plain) // 4 * 3 > max_bytes + 2:
        raise faults.TooLarge(f"the picture has more than {max_bytes} bytes")
    try:
        data = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        raise faults.InvalidField("the picture is not base64") from None
    if len(data) > max_bytes:
        raise faults.TooLarge(f"the picture has more than {max_bytes} bytes")
    return data


def with_notes(body: Json, notes: Mapping[int, str]) -> Json:
    """The body saying, at each picture that is not kept, why."""
    if not notes:
        return body
    images = [
        {**image, "Note": notes[place]} if place in notes else image
        for place, image in enumerate(body["Images"])
    ]
    return {**body, "Images": images}


def with_urls(body: Json, urls: Mapping[int, str]) -> Json:
    """The body with the address of every picture that is there."""
    if not urls:
        return body
    images = [
        {**image, "Url": urls[place]} if place in urls else image
        for place, image in enumerate(body["Images"])
    ]
    return {**body, "Images": images}


def addressed(body: Json, task_id: str, service_id: str | None) -> Json:
    """A stored body as the next hop knows it: its own ids, all else as it came."""
    sent = {**body, "TaskID": task_id}
    if service_id is not None and "AlgoServiceID" in body:
        sent["AlgoServiceID"] = service_id
    return sent


def inlined(body: Json, pictures: Mapping[int, bytes]) -> Json:
    """The body with the pictures inline again, by their place in Images."""
    if not pictures:
        return body
    images = [
        {**image, "Data": base64.b64encode(pictures[place]).decode("ascii")} if place in pictures else image
        for place, image in enumerate(body["Images"])
    ]
    return {**body, "Images": images}


def form_type(raw: bytes) -> str:
    """The content type of a multipart body as its first boundary shows it; empty if it shows none."""
    found = _BOUNDARY.match(raw[:200])
    return f'multipart/form-data; boundary="{found[1].decode("ascii")}"' if found else ""


def _without(image: Json, name: str) -> Json:
    return {key: value for key, value in image.items() if key != name}


# --- identity and moment ------------------------------------------------------------------------------


def fingerprint(instance_id: str, body: Mapping[str, Any], pictures: Iterable[tuple[int, str]]) -> str:
    """What makes two posts one result; `pictures` are (place, digest). RequestID does not count."""
    targets = body.get("Targets")
    first = (
        targets[0].get("TargetID")
        if isinstance(targets, list) and targets and isinstance(targets[0], dict)
        else ""
    )
    plain = {key: value for key, value in body.items() if key != "RequestID"}
    whole = [instance_id, body.get("EventID"), body.get("Pts"), first, plain, sorted(pictures)]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def event_ms(event_time: Any, pts: Any, now_ms: int, zone: tzinfo) -> int:
    """When it happened: EventTime if it can be read, else Pts if it is a time of day, else now."""
    if isinstance(event_time, str):
        try:
            read = times.read(event_time, zone, "$.EventTime")
        except faults.InvalidField:
            read = None
        if read is not None:
            return read
    stamp = milliseconds(pts)
    return now_ms if stamp is None else stamp


def milliseconds(value: Any) -> int | None:
    """A number or text as UTC milliseconds; None if it is no time of our days."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if _YEAR_2001_MS <= number <= _YEAR_2096_MS else None


# --- addresses ----------------------------------------------------------------------------------------


def receive_urls(info: Mapping[str, Any]) -> dict[str, list[str]]:
    """event -> the caller's own result addresses in an AlgoTaskInfo; "" stands for a rule without an EventID."""
    found: dict[str, list[str]] = {}
    for rule in info.get("RulesParams") or []:
        given = rule.get("ResultReceiveUrl") or []
        urls = [str(url) for url in (given if isinstance(given, list) else [given]) if url]
        found.setdefault(str(rule.get("EventID") or ""), []).extend(urls)
    return {event: list(dict.fromkeys(urls)) for event, urls in found.items()}


def addresses(receive_urls: Mapping[str, Sequence[str]], event_id: str) -> list[str]:
    """Where results of an event go: the addresses of its rules, and of rules that name no event."""
    return list(dict.fromkeys((*receive_urls.get(event_id, ()), *receive_urls.get("", ()))))


def destination(url: str) -> str:
    """scheme://host:port, the queue an address belongs to; UNUSABLE if it is no plain http(s) address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return UNUSABLE
    default = {"http": 80, "https": 443}.get(parts.scheme)
    if default is None or not parts.hostname or "@" in parts.netloc:
        return UNUSABLE
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{default if port is None else port}"


# --- what a receiver answered ---------------------------------------------------------------------------

_LATER = (401, 408, 409, 425, 429)


class Verdict(Struct, frozen=True):
    """What became of a post: delivered, or not; `refused`: the receiver will hardly ever want this one."""

    delivered: bool
    refused: bool = False
    reason: str = ""


def judge(status: int, code: str) -> Verdict:
    """Delivered is 2xx and Code 0. A 4xx by status or Code is a refusal, but for those that may pass."""
    if 200 <= status < 300:
        if code == "0":
            return Verdict(True)
        said = f"it answered Code {code[:20]}" if code else f"it answered HTTP {status} without a Code"
        return Verdict(False, _is_refusal(_status_of(code)), said)
    return Verdict(False, _is_refusal(status), f"it answered HTTP {status}")


def _status_of(code: str) -> int:
    """40001 -> 400, "404" -> 404; what is no number of that kind counts as a plain refusal."""
    number = int(code) if code.isascii() and code.isdigit() and len(code) <= 5 else 400
    number = number // 100 if number >= 10_000 else number
    return number if 300 <= number < 600 else 400


def _is_refusal(status: int) -> bool:
    return 400 <= status < 500 and status not in _LATER
