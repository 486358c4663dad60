"""dateTime of the standard, to and from UTC milliseconds. It is local to the site and has no zone of its own."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo

from acsmpd import faults


def written(ms: int | None, zone: tzinfo, *, with_ms: bool = False) -> str | None:
    """`yyyy-MM-dd HH:mm:ss`, with .SSS where a table prints it; None stays None."""
    if ms is None:
        return None
    local = datetime.fromtimestamp(ms / 1000, zone)
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{ms % 1000:03d}" if with_ms else text


def read(text: str | None, zone: tzinfo, path: str) -> int | None:
    """UTC milliseconds of a dateTime with or without .SSS. Raises InvalidField naming `path`."""
    if text is None:
        return None
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    try:
        local = datetime.strptime(text, form).replace(tzinfo=zone)
        return int(local.astimezone(timezone.utc).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise faults.InvalidField(
            f"{path}: {text!r} is no date and time of the form yyyy-MM-dd HH:mm:ss"
        ) from error
