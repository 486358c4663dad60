"""What a fake device says of its own accord: registration, keepalives, results."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import requests

from acsmpd.security.sm2 import encrypt
from acsmpd.spec.messages.computility import KeepaliveRequest, RegisterRequest, UnRegisterRequest
from acsmpd.spec.reading import to_builtins
from tests.support.fake_tasks import FakeTask

TIMEOUT_SECONDS = 15.0
TINY_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMU"
    "FRUVDA8XGBYUGBIUFRT/wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEA"
    "AD8AVN//2Q=="
)
"""One white pixel."""
Part = tuple[str | None, bytes, str]


class Said(NamedTuple):
    """What the platform answered: the HTTP status and the JSON object ({} if it sent none)."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> int | None:
        """The Code of the envelope as a number; None without one."""
        return int(self.body["Code"]) if "Code" in self.body else None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300 and self.code == 0

    @property
    def token(self) -> str | None:
        data = self.body.get("Data")
        return data.get("Token") if isinstance(data, dict) else None


class Voice:
    """Posts to a platform. One session a call: nothing stays open."""

    def __init__(self, code: str, username: str, password: str) -> None:
        self._code, self._username, self._password = code, username, password

    def register(
        self,
        platform_url: str,
        port: int,
        encrypt_with: str | None,
        kind: str,
        ip: str,
        services: bool | None,
    ) -> Said:
        """Table 40. `encrypt_with`: the platform's SM2 public key in hexadecimal; else all is plain."""
        message = RegisterRequest(
            code=self._code,
            type=kind,  # type: ignore[arg-type]
            ip=ip,
            port=port,
            username=self._username,
            password=self._secret(encrypt_with),
            support_algo_service=services,
        )
        return post_json(f"{platform_url}/ACSMP/Register", to_builtins(message))

    def keepalive(self, platform_url: str, token: str | None) -> Said:
        """Table 42."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return post_json(
            f"{platform_url}/ACSMP/Keepalive", to_builtins(KeepaliveRequest(code=self._code)), headers
        )

    def unregister(self, platform_url: str, encrypt_with: str | None) -> Said:
        """Table 41."""
        message = UnRegisterRequest(
            code=self._code, username=self._username, password=self._secret(encrypt_with)
        )
        return post_json(f"{platform_url}/ACSMP/UnRegister", to_builtins(message))

    def _secret(self, public_key: str | None) -> str:
        return self._password if public_key is None else encrypt(public_key, self._password)


def result_of(task: FakeTask, changes: dict[str, Any]) -> dict[str, Any]:
    """A result as conventions section 7 has it; `changes` replaces members, None leaves one out."""
    now = datetime.now()
    labels = task.info.get("Labels") or {}
    body = {
        "RequestID": str(uuid.uuid4()),
        "TaskID": task.task_id,
        "AlgoServiceID": task.service_id,
        "AlgoCaBinName": labels.get("AlgoCaBinName", ""),
        "Version": labels.get("Version", ""),
        "EventID": next(iter(task.event_ids), "INTRUSION"),
        "EventTime": now.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "Pts": int(now.timestamp() * 1000),
        "DeviceID": "",
        "StreamUrl": task.stream_url,
        "AreaIDs": [0],
        "Labels": {},
        "Targets": [_target()],
        "Images": [
            {
                "Type": "FULL",
                "Format": "jpeg",
                "Width": 1,
                "Height": 1,
                "Url": "",
                "Data": base64.b64encode(TINY_JPEG).decode(),
            }
        ],
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def _target() -> dict[str, Any]:
    return {
        "TargetID": str(uuid.uuid4()),
        "TargetType": "PERSON",
        "TrackID": "1",
        "Score": 0.97,
        "AreaID": 0,
        "Points": [{"PointX": 0.4, "PointY": 0.1}, {"PointX": 0.5, "PointY": 0.6}],
    }


BOX_TARGET = {
    "areaId": 0,
    "targetId": "PERSON:429:0",
    "targetScore": 0.97,
    "targetType": "PERSON",
    "trackId": "429",
    "points": [{"x": 0.4, "y": 0.1}, {"x": 0.5, "y": 0.6}],
}
"""A target in a box's own spelling."""


def multipart_of(task: FakeTask, code: str, pictures: Iterable[bytes]) -> list[tuple[str, Part]]:
    """The same in the form real boxes of this lineage send: alarm_info, and pictures by the number of their part."""
    result = result_of(task, {})
    given = list(pictures)
    event = {"eventType": result["EventID"], "ruleId": 0, "areaIds": [0], "targets": [BOX_TARGET]}
    alarm = {
        "additional": {
            "device_id": code,
            "channel_id": 0,
            "alarm_major": "alert_alarm",
            "alarm_minor": result["EventID"],
            "alarm_time": str(result["Pts"]),
        },
        "full_images": [
            {
                "original_resolution": {"width_pixels": 1, "height_pixels": 1},
                "image_data": {"image_data_format": 1, "value": str(at)},
            }
            for at in range(len(given))
        ],
        "warehouseV20Events": {
            "algoCabinName": result["AlgoCaBinName"],
            "version": result["Version"],
            "pts": result["Pts"],
            "alarmEvents": [event],
        },
    }
    parts: list[tuple[str, Part]] = [
        ("alarm_info", (None, json.dumps(alarm).encode(), "application/json")),
    ]
    for at, picture in enumerate(given):
        parts.append(("picture", (f"{at}.jpg", picture, "image/jpeg")))
    return parts


def post_json(url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Said:
    raw = json.dumps(body, ensure_ascii=False).encode()
    return _post(
        url, data=raw, headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    )


def post_form(url: str, parts: list[tuple[str, Part]]) -> Said:
    return _post(url, files=parts)


def _post(url: str, **what: Any) -> Said:
    with requests.Session() as session:
        session.trust_env = False
        with session.post(url, timeout=TIMEOUT_SECONDS, allow_redirects=False, **what) as answer:
            try:
                body = answer.json()
            except ValueError:
                body = {}
            return Said(answer.status_code, body if isinstance(body, dict) else {})
