"""A result's whole way over real HTTP: from a device through the platform to the one who asked for it."""

from __future__ import annotations

import base64
from typing import Any

import requests

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
    with serving(replying(200, OK)) as receiver:
        link = link_of(site, instance_of(site, receiver.url))
        info = '{"additional": {"alarm_minor": "FIRE"}, "full_images": [{"image_data": {"value": "0"}}]}'
        files = [("alarm_info", (None, info)), ("picture", ("0.jpg", JPEG))]
        assert send(link, files=files) == (200, 0)
        wait_until(lambda: receiver.seen, what="the result is delivered as our JSON")
        assert base64.b64encode(JPEG) in receiver.seen[0].body


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
