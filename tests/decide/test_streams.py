"""What a stream description says about itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.streams import device_id_of, stream_url_of

URL = "rtsp://10.0.0.9:554/live?deviceID=11010000001320000001&x=1"


def video(**options: Any) -> dict[str, Any]:
    return {"StreamOptions": {"VideoStreamOptions": options}}


@pytest.mark.parametrize(
    ("info", "url", "device"),
    [
        (video(Url=URL), URL, "11010000001320000001"),
        (video(Url=URL, DeviceID="77"), URL, "77"),
        (video(Url="rtsp://h/a?DEVICEID=5"), "rtsp://h/a?DEVICEID=5", "5"),
        (video(Url="rtsp://h/a"), "rtsp://h/a", ""),
        ({"StreamOptions": {"ImageStreamOptions": {"DeviceID": "88"}}}, "", "88"),
        (video(Url="rtsp://[broken/?deviceID=5"), "rtsp://[broken/?deviceID=5", ""),
        (video(Url=None), "", ""),
        ({"StreamOptions": {"VideoStreamOptions": "text"}}, "", ""),
        ({"StreamOptions": None}, "", ""),
        ({}, "", ""),
    ],
)
def test_the_address_and_the_camera(info: dict[str, Any], url: str, device: str) -> None:
    assert (stream_url_of(info), device_id_of(info)) == (url, device)


def test_a_camera_code_is_bounded() -> None:
    assert len(device_id_of(video(DeviceID="7" * 1000))) == 256
    assert len(device_id_of(video(Url="rtsp://h/?deviceID=" + "7" * 1000))) == 256


@given(st.text(max_size=60))
def test_any_address_can_be_read(url: str) -> None:
    assert stream_url_of(video(Url=url)) == url
    assert len(device_id_of(video(Url=url))) <= 256
