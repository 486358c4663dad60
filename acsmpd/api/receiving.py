"""From a posted body to what is to be stored: our JSON form, and the multipart form of real boxes."""

from __future__ import annotations

from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.api.call import Call
from acsmpd.api.guard import media_type
from acsmpd.api.platform import Platform
from acsmpd.api.result_files import ResultFiles, Saved
from acsmpd.decide import box_results
from acsmpd.decide import results as decided
from acsmpd.packages.multipart import FormLimits, Part, multipart_parts
from acsmpd.spec.json_text import decode, scan
from acsmpd.spec.messages.results import ResultRequest
from acsmpd.spec.reading import read_strict
from acsmpd.store.results import RAW

BODY_MAX_BYTES = 64 * 1024
"""A body without its pictures: it stays in the database."""
FORM = "multipart/form-data"
_BLOCK = 256 * 1024
_UNREADABLE = (faults.MalformedJson, faults.InvalidField, faults.MissingField, faults.TooLarge)


class Draft(Struct, frozen=True):
    """One result before it is a row. `left_out` counts pictures that came but could not be kept."""

    body: dict[str, Any]
    fingerprint: str
    files: tuple[tuple[int, Saved], ...] = ()
    raw_path: str = ""
    error: str = ""
    left_out: int = 0


class _Form(Struct, frozen=True):
    """What a form holds: its alarm_info, and its picture parts, each saved or with the reason why not."""

    info: Any
    pictures: list[Saved | str]
    formats: list[str]
    names: list[str]


def drafts_of(platform: Platform, call: Call, instance_id: str, files: ResultFiles) -> list[Draft]:
    """What the body of a post holds. Raises a fault for what nobody could use."""
    cap = platform.settings.results.max_body_bytes
    if call.stream is None or (call.content_length or 0) > cap:
        raise faults.TooLarge(f"the body has more than {cap} bytes")
    media = media_type(call.content_type)
    if media == FORM:
        return _from_form(platform, call, files.save_raw(call.stream, cap), instance_id, files)
    if media and "json" not in media and media != "text/plain":
        raise faults.UnsupportedMedia(f"the body is {media[:80]}; this row takes application/json or {FORM}")
    return [_from_json(platform, _whole(call.stream, cap), instance_id, files)]


# --- our form -----------------------------------------------------------------------------------------


def _whole(stream: BinaryIO, cap: int) -> bytes:
    blocks, size = [], 0
    while block := stream.read(_BLOCK):
        size += len(block)
        if size > cap:
            raise faults.TooLarge(f"the body has more than {cap} bytes")
        blocks.append(block)
    return b"".join(blocks)


def _from_json(platform: Platform, raw: bytes, instance_id: str, files: ResultFiles) -> Draft:
    asked, _unknown = read_strict(ResultRequest, raw)
    if not asked.event_id:
        raise faults.InvalidField("$.EventID: must not be empty")
    body, texts = decided.split_pictures(decode(raw))
    _check_size(body)
    saved, notes = _save_pictures(platform, texts, files)
    mark = decided.fingerprint(instance_id, body, [(place, one.digest) for place, one in saved])
    return Draft(decided.with_notes(body, notes), mark, tuple(saved), left_out=len(notes))


def _save_pictures(
    platform: Platform, texts: list[tuple[int, str]], files: ResultFiles
) -> tuple[list[tuple[int, Saved]], dict[int, str]]:
    """The pictures that can be kept, and at each other place why not: a bad picture never loses its result."""
    saved: list[tuple[int, Saved]] = []
    notes: dict[int, str] = {}
    for place, text in texts:
        try:
            if len(saved) >= decided.MAX_PICTURES:
                raise faults.TooLarge(f"a result keeps at most {decided.MAX_PICTURES} pictures")
            data = decided.read_picture(text, platform.settings.results.picture_max_bytes)
        except (faults.InvalidField, faults.TooLarge) as fault:
            notes[place] = fault.message
        else:
            saved.append((place, files.save_bytes(data)))
    return saved, notes


def _check_size(body: dict[str, Any]) -> None:
    if len(body.get("Images") or ()) > decided.MAX_IMAGES:
        raise faults.InvalidField(f"$.Images: at most {decided.MAX_IMAGES} are taken")
    size = len(msgspec.json.encode(body))
    if size > BODY_MAX_BYTES:
        raise faults.TooLarge(
            f"the result without its pictures has {size} bytes; at most {BODY_MAX_BYTES} are taken"
        )


# --- the form of real boxes -----------------------------------------------------------------------------


def _from_form(
    platform: Platform, call: Call, raw: Saved, instance_id: str, files: ResultFiles
) -> list[Draft]:
    """One draft an event. A form that cannot be read is kept as it came, with the reason."""
    try:
        form = _read_form(platform, call, raw, files)
        events = box_results.results_of(form.info, form.formats, instance_id, platform.zone, form.names)
        drafts = [_draft(platform, event, form, raw, instance_id, files) for event in events]
    except _UNREADABLE as fault:
        mark = decided.fingerprint(instance_id, {}, [(RAW, raw.digest)])
        return [Draft({}, mark, ((RAW, raw),), raw.path, fault.message)]
    return _counted_once(drafts)


def _read_form(platform: Platform, call: Call, raw: Saved, files: ResultFiles) -> _Form:
    limits = FormLimits(max_parts=decided.MAX_PICTURES + 8, max_field_bytes=raw.size)
    info, pictures, formats, names = None, [], [], []
    with (platform.data / raw.path).open("rb") as stream:
        for part in multipart_parts(stream, call.content_type, raw.size, limits):
            if part.name.casefold() == "alarm_info":
                info = decode(part.text().encode())
                scan(info)
            elif part.filename is not None or "picture" in part.name.casefold():
                saved, format_ = _save_part(platform, part, files)
                pictures.append(saved)
                formats.append(format_)
                names.append(part.name)
    if info is None:
        raise faults.MissingField("the form has no part alarm_info")
    return _Form(info, pictures, formats, names)


def _save_part(platform: Platform, part: Part, files: ResultFiles) -> tuple[Saved | str, str]:
    try:
        saved = files.save_picture(part.stream, platform.settings.results.picture_max_bytes)
    except faults.TooLarge as fault:
        return fault.message, ""
    return saved, {".jpg": "jpeg", ".png": "png"}.get(saved.path[-4:], "")


def _draft(
    platform: Platform,
    event: box_results.Converted,
    form: _Form,
    raw: Saved,
    instance_id: str,
    files: ResultFiles,
) -> Draft:
    body, texts = decided.split_pictures(event.body)
    _check_size(body)
    saved, notes = _save_pictures(platform, texts, files)
    for place, number in event.parts:
        picture = form.pictures[number]
        if isinstance(picture, Saved):
            saved.append((place, picture))
        else:
            notes[place] = picture
    mark = decided.fingerprint(instance_id, body, [(place, one.digest) for place, one in saved])
    kept = ((RAW, raw), *saved)
    return Draft(decided.with_notes(body, notes), mark, kept, raw.path, left_out=len(notes))


def _counted_once(drafts: list[Draft]) -> list[Draft]:
    """A file that several results share counts for the first alone."""
    seen: set[str] = set()
    counted = []
    for draft in drafts:
        shares = []
        for place, one in draft.files:
            shares.append((place, one if one.path not in seen else Saved(one.path, 0, one.digest)))
            seen.add(one.path)
        counted.append(msgspec.structs.replace(draft, files=tuple(shares)))
    return counted
