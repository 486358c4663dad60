"""A result's whole way over real HTTP: from a device through the platform to the one who asked for it."""

from __future__ import annotations

import base64
import json
from typing import Any

import requests

from tests.support.fake_speaking import multipart_of
from tests.support.fake_tasks import FakeTask
from tests.support.site import Site
from tests.support.wait import wait_until
from tests.wire.servers import OK, replying, serving

JPEG = b"\xff\xd8\xff\xe0" + bytes(300_000)


def instance_of(site: Site, receiver: str) -> str:
    rules = [{"EventID": "FIRE", "ResultReceiveUrl": [receiver]}]
    info = {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.9/1"}}, "RulesParams": rules}
    plan = {"Name": "p", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [info]}
    number = site.client.fine("POST", "/ACSMP/Tasks", plan)
    found = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": number})
    (instance,) = [one["ID"] for one in found["PageContent"]]
    return str(instance)


def link_of(site: Site, instance: str) -> str:
    assert site.app is not None
    return f"{site.url}/ACSMP/Results/{instance}/{site.app.platform.signer.sign('result', instance)}"


def send(url: str, **more: Any) -> tuple[int, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, timeout=20, **more)
        return answer.status_code, answer.json()["Code"]


def test_from_the_device_to_the_receiver(site: Site) -> None:
    with serving(replying(200, OK)) as receiver:
        instance = instance_of(site, f"{receiver.url}/mine")
        link = link_of(site, instance)
        text = base64.b64encode(JPEG).decode()
        body = {
            "TaskID": "x",
            "EventID": "FIRE",
            "Images": [{"Type": "FULL", "Data": text}],
            "Mine": {"a": 1},
        }
        assert send(link, json=body) == (200, 0)
        assert send(link, json=body) == (200, 0)
        wait_until(lambda: receiver.seen, what="the result is delivered")
        (item,) = site.client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": instance})["PageContent"]
        assert (item["EventID"], item["Mine"], item["Late"]) == ("FIRE", {"a": 1}, True)
        assert site.client.fine("GET", f"/ACSMP/Results/{item['ResultID']}") == item
        picture = site.client.get(item["Images"][0]["Url"]).response
        assert (picture.content, picture.headers["Content-Type"]) == (JPEG, "image/jpeg")
        assert [one.path for one in receiver.seen] == ["/mine"]


def test_the_form_of_a_box(site: Site) -> None:
    """As boxes send it: targets in their own spelling, whole pictures by the number of their part."""
    with serving(replying(200, OK)) as receiver:
        instance = instance_of(site, receiver.url)
        rules = [{"EventID": "FIRE", "ResultReceiveUrl": [link_of(site, instance)]}]
        task = FakeTask("7", {"RulesParams": rules, "Labels": {"AlgoCaBinName": "a", "Version": "1"}})
        form = multipart_of(task, "11010000005050000001", [JPEG])
        assert send(task.receive_urls[0], files=form) == (200, 0)
        wait_until(lambda: receiver.seen, what="the result is delivered as our JSON")
        delivered = json.loads(receiver.seen[0].body)
        assert (delivered["TaskID"], delivered["EventID"]) == (instance, "FIRE")
        assert delivered["Targets"] == [
            {
                "TargetID": "PERSON:429:0", "TargetType": "PERSON", "TrackID": "429", "Score": 0.97, "AreaID": 0,
                "Points": [{"PointX": 0.4, "PointY": 0.1}, {"PointX": 0.5, "PointY": 0.6}],
            }
        ]  # fmt: skip
        (image,) = delivered["Images"]
        assert (image["Type"], base64.b64decode(image["Data"])) == ("FULL", JPEG)


def test_a_form_in_our_spelling_with_pictures_by_name(site: Site) -> None:
    instance = instance_of(site, "http://10.0.0.1/")
    target = {"TargetID": "t", "Score": 0.5, "TargetType": "CAR", "Points": [{"PointX": 0.1, "PointY": 0.2}]}
    info = {
        "full_images": [{"name": "f0", "format": "jpeg"}],
        "warehouseV20Events": {"alarmEvents": [{"eventType": "FIRE", "targets": [target]}]},
    }
    crop = ("crop", ("crop.png", b"\x89PNG\r\n\x1a\n"))
    files = [("alarm_info", (None, json.dumps(info))), crop, ("f0", ("f0.jpg", JPEG))]
    assert send(link_of(site, instance), files=files) == (200, 0)
    (item,) = site.client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": instance})["PageContent"]
    assert item["Targets"] == [target]
    assert [(image["Type"], image["Format"]) for image in item["Images"]] == [
        ("FULL", "jpeg"),
        ("OTHER", "png"),
    ]


def test_refusals(site: Site) -> None:
    link = link_of(site, instance_of(site, "http://10.0.0.1/"))
    assert send(link[:-1] + ("A" if link[-1] != "A" else "B"), json={"EventID": "FIRE"}) == (404, 40401)
    assert send(link, data=b"{") == (400, 40000)
    assert send(link, json={}) == (400, 40002)
    assert send(link, data=b"x", headers={"Content-Type": "image/png"}) == (415, 41501)
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{site.url}/ACSMP/Results/1", timeout=20).json()["Code"] == 40101
    assert site.as_role("viewer").get("/ACSMP/Results/1").code == 40401
    assert site.as_role("audit_admin").get("/ACSMP/Results/1").code == 40301
