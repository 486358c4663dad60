"""One result as the receivers get it: what was seen, where, when, and the pictures."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import dataclass

import cv2
import numpy as np
from detect import Box, Target
from rules import Json, Rule

FULL_WIDTH, CROP_SIDE, QUALITY = 960, 320, 80


@dataclass(frozen=True)
class Author:
    """Who speaks: the algorithm as its package names it, and the service it runs as."""

    name: str
    version: str
    service_id: str


def local_time(seconds: float) -> str:
    """Wall seconds as yyyy-MM-dd HH:mm:ss.SSS in this process's zone (TZ)."""
    millis = round(seconds * 1000)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(millis // 1000))
    return f"{stamp}.{millis % 1000:03d}"


def compose(
    author: Author,
    task_id: str,
    stream: str,
    rule: Rule,
    targets: list[Target],
    frame: np.ndarray,
    wall_seconds: float,
) -> bytes:
    """The JSON body of one result."""
    crops = [_crop(frame, target) for target in targets]
    body: Json = {
        "RequestID": str(uuid.uuid4()),
        "TaskID": task_id,
        "AlgoServiceID": author.service_id,
        "AlgoCaBinName": author.name,
        "Version": author.version,
        "EventID": rule.event_id,
        "EventTime": local_time(wall_seconds),
        "Pts": round(wall_seconds * 1000),
        "DeviceID": "",
        "StreamUrl": stream,
        "AreaIDs": sorted({target.area_id for target in targets}),
        "Labels": rule.labels,
        "Targets": [_target(target) for target in targets],
        "Images": [_picture(frame, "FULL", FULL_WIDTH), *crops],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def _target(target: Target) -> Json:
    box = target.box
    return {
        "TargetID": target.target_id,
        "TargetType": target.kind,
        "TrackID": "",
        "Score": box.score,
        "AreaID": target.area_id,
        "Points": [{"PointX": box.left, "PointY": box.top}, {"PointX": box.right, "PointY": box.bottom}],
    }


def _crop(frame: np.ndarray, target: Target) -> Json:
    rows, columns = _cut(target.box, frame.shape)
    return {**_picture(frame[rows, columns], "TARGET", CROP_SIDE), "TargetID": target.target_id}


def _cut(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The box with a tenth of margin, at least one pixel each way."""
    height, width = shape[:2]
    across, down = (box.right - box.left) / 10, (box.bottom - box.top) / 10
    left = min(max(int((box.left - across) * width), 0), width - 1)
    top = min(max(int((box.top - down) * height), 0), height - 1)
    right = max(min(int((box.right + across) * width), width), left + 1)
    bottom = max(min(int((box.bottom + down) * height), height), top + 1)
    return slice(top, bottom), slice(left, right)


def _picture(image: np.ndarray, kind: str, widest: int) -> Json:
    height, width = image.shape[:2]
    scale = min(1.0, widest / max(width, height if kind == "TARGET" else width))
    if scale < 1.0:
        image = cv2.resize(image, (max(1, int(width * scale)), max(1, int(height * scale))))
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    height, width = image.shape[:2]
    text = base64.b64encode(data).decode()
    return {"Type": kind, "Format": "jpeg", "Width": width, "Height": height, "Url": "", "Data": text}
