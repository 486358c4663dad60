"""What the fake CAD says of its own accord, to something that keeps what it was told."""

from __future__ import annotations

import base64
import json

import pytest

from acsmpd.faults import Temporary
from acsmpd.security.sm2 import generate
from acsmpd.spec.messages.computility import RegisterRequest
from acsmpd.spec.reading import read_strict
from tests.support.fake_speaking import TINY_JPEG
from tests.support.fake_stage import LABELS, STREAM, Platform, Site
from tests.wire.servers import serving


def test_it_registers_with_its_own_words_and_checks_the_token(site: Site) -> None:
    fake, key, platform = site.fake, generate(), Platform()
    fake.check_token = True
    with pytest.raises(Temporary, match="token refused"):
        site.driver.observe(site.peer)
    with serving(platform.script) as server:
        platform.answers = [{"Code": 0, "Message": "", "Data": {"Token": "first"}}]
        assert fake.register(server.url, encrypt_with=key.public).accepted
        path, _, body = platform.seen[0]
        asked, _ = read_strict(RegisterRequest, body)
        assert path == "/ACSMP/Register"
        assert (asked.code, asked.type, asked.port, asked.ip) == (fake.code, "CAD", fake.port, "127.0.0.1")
        assert key.decrypt_password(asked.password) == "Cad-Passw0rd-1"
        site.token = "first"
        assert site.driver.observe(site.peer).faults == ()

        platform.answers = [{"Code": 0, "Message": "", "Data": {"Token": "second"}}, {"Code": 0}]
        assert fake.keepalive(server.url).accepted
        assert platform.seen[1][1]["Authorization"] == "Bearer first"
        assert fake.token == "second"
        for site.token in ("first", "second"):
            assert site.driver.observe(site.peer).faults == ()
        fake.keepalive(server.url, with_token=False)
        assert "Authorization" not in platform.seen[2][1]

        platform.answers = [{"Code": 40302, "Message": "awaiting approval"}, {"Code": 0}]
        refused = fake.register(server.url)
        assert (refused.code, refused.accepted, refused.token) == (40302, False, None)
        assert json.loads(platform.seen[3][2])["Password"] == "Cad-Passw0rd-1"
        assert fake.unregister(server.url).accepted
        assert fake.token is None
        with pytest.raises(Temporary, match="token refused"):
            site.driver.observe(site.peer)


def test_it_sends_results_to_every_receiver(loaded: Site) -> None:
    platform = Platform()
    with serving(platform.script) as server:
        receivers = [f"{server.url}/a", f"{server.url}/b"]
        rules = [{"EventID": "FIRE", "ResultReceiveUrl": receivers}, {"EventID": "SMOKE"}]
        task_id = loaded.create(RulesParams=rules).facility_id
        answers = loaded.fake.send_result(task_id, Pts=5, AreaIDs=None)
        assert [answer.accepted for answer in answers] == [True, True]
        assert [path for path, _, _ in platform.seen] == ["/a", "/b"]
        body = json.loads(platform.seen[0][2])
        assert (body["TaskID"], body["EventID"], body["StreamUrl"]) == (task_id, "FIRE", STREAM)
        assert (body["AlgoCaBinName"], body["Version"], body["Pts"]) == (*LABELS.values(), 5)
        assert "AreaIDs" not in body
        assert base64.b64decode(body["Images"][0]["Data"]) == TINY_JPEG
        assert TINY_JPEG[:2] + TINY_JPEG[-2:] == b"\xff\xd8\xff\xd9"


def test_it_sends_results_as_a_form(loaded: Site) -> None:
    platform = Platform()
    with serving(platform.script) as server:
        rules = [{"EventID": "FIRE", "ResultReceiveUrl": [server.url]}]
        task_id = loaded.create(RulesParams=rules).facility_id
        platform.answers = [{"Code": 41301, "Message": "too large"}]
        (answer,) = loaded.fake.send_multipart_result(task_id, [TINY_JPEG, b"another"])
        assert (answer.status, answer.code) == (200, 41301)
        _, headers, body = platform.seen[0]
        assert headers["Content-Type"].startswith("multipart/form-data; boundary=")
        assert body.count(b"Content-Disposition: form-data") == 3
        assert b'name="alarm_info"' in body
        assert b'"alarmEvents": [{"eventType": "FIRE"' in body
        assert b'"targetId": "PERSON:429:0"' in body
        assert b'"image_data": {"image_data_format": 1, "value": "1"}' in body
        assert TINY_JPEG in body
