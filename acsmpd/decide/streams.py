"""What a stream description says about itself (StreamOptions, read off the printed examples)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit


def stream_url_of(info: dict[str, Any]) -> str:
    """The address of the stream, "" if none is named."""
    options = (info.get("StreamOptions") or {}).get("VideoStreamOptions")
    return str(options.get("Url") or "") if isinstance(options, dict) else ""


def device_id_of(info: dict[str, Any]) -> str:
    """The camera's or file's code: DeviceID beside the Url, else the deviceID parameter in it; "" if none."""
    for options in (info.get("StreamOptions") or {}).values():
        if isinstance(options, dict) and options.get("DeviceID"):
            return str(options["DeviceID"])[:256]
    try:
        query = urlsplit(stream_url_of(info)).query
    except ValueError:
        return ""
    found = {name.casefold(): value for name, value in parse_qsl(query)}
    return found.get("deviceid", "")[:256]
