"""Requests that are no good: the right Code, words that name the place and the reason, nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Answer, Site, running
from tests.support.state import records, refused, unchanged

UNKNOWN = "99999999999999999999"
NO_UUID = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with one package and one plan (number 1) that is off."""
    folder = tmp_path_factory.mktemp("site")
    with running(folder / "data") as one:
        assert one.client.upload(make_package(folder)).code == 0
        assert one.client.fine("POST", "/ACSMP/Tasks", plan()) == 1
        yield one


def plan(**more: Any) -> dict[str, Any]:
    body = {"Name": "gate", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [task_info()]}
    return {name: value for name, value in {**body, **more}.items() if value is not None}


def raw(site: Site, path: str, body: bytes | str, **headers: str) -> Answer:
    sent = body.encode() if isinstance(body, str) else body
    return site.client.post(path, data=sent, headers={**JSON, **headers})


# --- types, lengths, enumerations, missing members -----------------------------------------------------------

DEVICE = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": UNKNOWN}
BOX = {"Code": "1" * 20, "Type": "CAD", "IP": "10.0.0.1", "Port": 1, "Username": "u", "Password": "p"}
FIRST, SECOND = "$.AlgoTaskInfos[0]", "$.AlgoTaskInfos[1]"


def infos(*given: Any, **more: Any) -> dict[str, Any]:
    """A plan of these instances, or of a good one and one with these members."""
    return plan(AlgoTaskInfos=list(given) or [task_info(), task_info(**more)])


WRONG: dict[str, list[tuple[Any, ...]]] = {
    "/ACSMP/Tasks": [
        (plan(Name=5), 40001, "$.Name", "must be a string of at most 256", "not an integer"),
        (plan(AutoStart="true"), 40001, "$.AutoStart", "not a string"),
        (plan(AutoStart=1), 40001, "$.AutoStart", "not an integer"),
        (plan(AlgoTaskInfos="all"), 40001, "$.AlgoTaskInfos", "must be", "not a string"),
        (infos(task_info(), 3), 40001, SECOND, "not an integer"),
        (plan(Name="区" * 257), 40001, "$.Name", "longer than 256 characters"),
        (plan(Description="d" * 257), 40001, "$.Description", "longer than 256 characters"),
        (plan(Type="VIDEO"), 40001, "$.Type", "VIDEO_REALTIME", "IMAGE_REALTIME"),
        (plan(Type="video_realtime"), 40001, "$.Type", "VIDEO_REALTIME"),
        (plan(Mode="SOMETIMES"), 40001, "$.Mode", "PERIODIC", "INSPECTIVE"),
        (plan(Name=None), 40002, "$.Name: required"),
        (plan(Type=None), 40002, "$.Type: required"),
        (plan(AlgoTaskInfos=None), 40002, "$.AlgoTaskInfos", "at least one"),
        (plan(AlgoTaskInfos=[]), 40002, "$.AlgoTaskInfos", "at least one"),
        (infos({"StreamOptions": {}}), 40002, f"{FIRST}.RulesParams: required"),
        (infos(event="lower"), 40001, f"{SECOND}.RulesParams[0].EventID", "A-Z, 0-9 and _"),
        (infos(RestartPolicy="MAYBE"), 40001, f"{SECOND}.RestartPolicy", "NEVER", "ALWAYS"),
        (infos(ComputilityCode="12"), 40001, f"{SECOND}.ComputilityCode", "20 digits"),
        (infos(ComputilityCode=UNKNOWN), 40401, f"{SECOND}.ComputilityCode", f"no computility {UNKNOWN}"),
        (infos(AlgoServiceID="nobody"), 40401, f"{SECOND}.AlgoServiceID", "no service nobody"),
        (
            infos(event="FIRE", Labels={"AlgoCaBinName": "Test_Algo"}),
            *(40001, f"{SECOND}.RulesParams[0].EventID", "does not serve FIRE", "INTRUSION"),
        ),
    ],
    "/ACSMP/TaskInstances": [
        ({"TaskID": "1", "AlgoTaskInfos": [task_info()]}, 40001, "$.TaskID", "not a string"),
        ({"TaskID": 2**63, "AlgoTaskInfos": [task_info()]}, 40001, "$.TaskID", "64 bits"),
        ({"TaskID": 1, "AlgoTaskInfos": []}, 40001, "$.AlgoTaskInfos", "at least one"),
        (
            {"TaskID": 1, "AlgoTaskInfos": [task_info(), {"RulesParams": []}]},
            40002,
            f"{SECOND}.StreamOptions",
        ),
        ({"TaskID": 77, "AlgoTaskInfos": [task_info()]}, 40401, "no task plan 77"),
    ],
    "/ACSMP/TaskInstances/Start": [
        ({"IDs": ["nobody", 88]}, 40401, "nobody, 88", "nothing was changed"),
        ({"IDs": [[1]]}, 40001, "$.IDs[0]"),
        ({}, 40002, "$.IDs: required"),
    ],
    "/ACSMP/AlgoFilePackages/Devices": [
        ({**DEVICE, "ComputilityCode": "1" * 21}, 40001, "$.ComputilityCode"),
        ({**DEVICE, "ComputilityCode": "1" * 19 + "x"}, 40001, "$.ComputilityCode", "20 digits"),
        ({**DEVICE, "ComputilityCode": "\uff11" * 20}, 40001, "$.ComputilityCode", "20 digits"),
        ({"ComputilityCode": UNKNOWN}, 40002, "$.AlgoFilePackageID: required"),
    ],
    "/ACSMP/AlgoServices/Devices": [
        ({**DEVICE, "Replicas": 0}, 40001, "$.Replicas", "less than 1"),
        ({**DEVICE, "Env": [{"Name": "A"}]}, 40002, "$.Env[0].Value: required"),
        ({**DEVICE, "AlgoFilePackageID": "p" * 41}, 40001, "$.AlgoFilePackageID", "longer than 40"),
    ],
    "/ACSMP/Tasks/Search": [
        ({"CreateTimeFrom": "yesterday"}, 40001, "$.CreateTimeFrom", "yyyy-MM-dd HH:mm:ss"),
        ({"CreateTimeTo": "2026-02-30 00:00:00"}, 40001, "$.CreateTimeTo", "2026-02-30"),
        ({"Status": "ALMOST"}, 40001, "$.Status", "ON", "OFF"),
        ({"TaskIDs": ["1"]}, 40001, "$.TaskIDs[0]", "not a string"),
    ],
    "/ACSMP/Register": [
        ({**BOX, "Port": 65536}, 40001, "$.Port", "greater than 65535"),
        ({**BOX, "Type": "TOASTER"}, 40001, "$.Type", "AI_CAMERA"),
        ({**BOX, "Username": "u" * 33}, 40001, "$.Username", "longer than 32"),
        ({**BOX, "Password": None}, 40002, "$.Password: required"),
    ],
}


@pytest.mark.parametrize("path", WRONG)
def test_a_body_that_breaks_its_table_is_refused_naming_the_place(site: Site, path: str) -> None:
    for body, code, *words in WRONG[path]:
        with unchanged(site):
            refused(site.client.post(path, body), code // 100, code, *words)


def test_no_refusal_repeats_a_secret(site: Site) -> None:
    body = {"Code": "x", "Type": "CAD", "IP": "1", "Port": 1, "Username": "u", "Password": "Secret-1"}
    answer = site.client.post("/ACSMP/Register", body)
    refused(answer, 400, 40001, "$.Code")
    assert "Secret-1" not in answer.response.text


@pytest.mark.parametrize("sign", ["区", "x", "\U0001f6a6"])
def test_lengths_count_characters_not_bytes(site: Site, sign: str) -> None:
    number = site.client.fine("POST", "/ACSMP/Tasks", plan(Name=sign * 256))
    shown = site.client.fine("GET", f"/ACSMP/Tasks/{number}")
    assert shown["Name"] == sign * 256
    with unchanged(site):
        refused(site.client.post("/ACSMP/Tasks", plan(Name=sign * 257)), 400, 40001, "$.Name")
    site.client.fine("DELETE", f"/ACSMP/Tasks/{number}")


def test_unknown_members_are_ignored_and_free_objects_kept(site: Site) -> None:
    info = task_info(Labels={"Mine": {"a": [1, None]}}, Colour="red")
    number = site.client.fine("POST", "/ACSMP/Tasks", plan(AlgoTaskInfos=[info], Colour="red"))
    shown = site.client.fine("GET", f"/ACSMP/Tasks/{number}")
    assert "Colour" not in shown
    assert shown["AlgoTaskInfos"][0]["Labels"] == {"Mine": {"a": [1, None]}}
    assert shown["AlgoTaskInfos"][0]["RulesParams"] == info["RulesParams"]
    site.client.fine("DELETE", f"/ACSMP/Tasks/{number}")


# --- what is no JSON, or not ours ------------------------------------------------------------------------------


def text(**more: Any) -> str:
    return json.dumps(plan(**more), ensure_ascii=False)


MALFORMED: dict[str, tuple[bytes | str, int, str]] = {
    "half": (text()[:-5], 40000, "not JSON"),
    "word": ("nul", 40000, "not JSON"),
    "trailing-comma": ('{"Name": "a",}', 40000, "not JSON"),
    "single-quotes": ("{'Name': 'a'}", 40000, "not JSON"),
    "two-values": (text() + "{}", 40000, "not JSON"),
    "nan": (text().replace('"gate"', "NaN"), 40000, "not JSON"),
    "utf-16": (text().encode("utf-16"), 40000, "the body is not"),
    "latin-1": (text().encode().replace(b"gate", b"g\xe4te"), 40000, "not UTF-8"),
    "array": ("[1]", 40001, "$: must be an object"),
    "text": ('"x"', 40001, "$: must be an object"),
    "nothing": ("", 40002, "$.Name: required"),
    "null": ("null", 40002, "$.Name: required"),
    "nul-sign": (text(Name="a\0b"), 40001, "$.Name: holds U+0000"),
    "nul-sign-in-a-key": (text(**{"a\0b": 1}), 40001, "holds U+0000"),
    "nul-sign-deep": (json.dumps(infos(Labels={"k": ["\0"]})), 40001, f"{SECOND}.Labels.k[0]: holds U+0000"),
    "surrogate": (text().replace("gate", "\\ud800"), 40001, "$.Name: holds a lone surrogate"),
    "huge-number": (text(AlgoTaskInfos=[task_info(Labels={"k": 10**30})]), 40001, "$.AlgoTaskInfos[0].Labels.k"),
    "infinite": (text(AlgoTaskInfos=[task_info(Labels={"k": 77})]).replace("77", "1e999"), 40000, "not JSON"),
    "deep": (text(AlgoTaskInfos="DEEP").replace('"DEEP"', "[" * 40 + "]" * 40), 40000, "deeper than 32 levels"),
    "very-deep": ("[" * 200_000, 40000, "deeper than 32 levels"),
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
def test_a_body_that_is_no_message_is_refused(site: Site, what: str) -> None:
    body, code, words = MALFORMED[what]
    with unchanged(site):
        refused(raw(site, "/ACSMP/Tasks", body), 400, code, words)


def test_32_levels_are_taken_and_33_are_not(site: Site) -> None:
    """Labels stands on the fourth level: body, list, info, Labels."""

    def labelled(levels: int) -> str:
        inner: Any = 1
        for _ in range(levels - 4):
            inner = {"k": inner}
        return text(AlgoTaskInfos=[task_info(Labels={"k": inner})])

    taken = raw(site, "/ACSMP/Tasks", labelled(32))
    assert taken.code == 0, taken
    with unchanged(site):
        refused(raw(site, "/ACSMP/Tasks", labelled(33)), 400, 40000, "deeper than 32 levels")
    site.client.fine("DELETE", f"/ACSMP/Tasks/{taken.data}")


def test_of_duplicate_members_the_last_wins(site: Site) -> None:
    taken = raw(site, "/ACSMP/Tasks", text()[:-1] + ', "Name": "second"}')
    assert taken.code == 0, taken
    assert site.client.fine("GET", f"/ACSMP/Tasks/{taken.data}")["Name"] == "second"
    site.client.fine("DELETE", f"/ACSMP/Tasks/{taken.data}")


@pytest.mark.parametrize(
    "media", ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "image/png"]
)
def test_another_content_type_is_415(site: Site, media: str) -> None:
    with unchanged(site):
        answer = raw(site, "/ACSMP/Tasks", text(), **{"Content-Type": media})
        refused(answer, 415, 41501, media.partition(";")[0], "application/json")


@pytest.mark.parametrize(
    "media", ["application/json;charset=UTF-8", "application/problem+json", "text/plain"]
)
def test_what_lazy_clients_call_json_is_taken(site: Site, media: str) -> None:
    answer = raw(site, "/ACSMP/Tasks/Search", "{}", **{"Content-Type": media})
    assert answer.code == 0, answer


def test_a_body_over_a_mebibyte_is_413(site: Site) -> None:
    with unchanged(site):
        whole = raw(site, "/ACSMP/Tasks", text(Description="x" * 1_100_000))
        refused(whole, 413, 41301, "this row takes at most 1048576")
        pieces = site.client.post("/ACSMP/Tasks", data=iter([b" " * 600_000] * 2), headers=JSON)
        refused(pieces, 413, 41301, "1048576")


def test_a_body_that_decides_between_rows_may_not_be_deep_either(site: Site) -> None:
    with unchanged(site):
        for body, words in (("[" * 200_000, "deeper than 32 levels"), ("{", "not JSON")):
            answer = raw(site, "/CAD/Machine/AlgoPackages", body)
            assert int(answer.body["Code"]) == 40000, answer
            assert words in answer.message


# --- addresses ---------------------------------------------------------------------------------------------------


def test_delete_search_deletes_no_plan(site: Site) -> None:
    with unchanged(site):
        answer = site.client.delete("/ACSMP/Tasks/Search")
        refused(answer, 405, 40501, "DELETE is not served on /ACSMP/Tasks/Search", "allowed: POST")
        assert answer.response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/ACSMP/Tasks/1", "DELETE, GET, HEAD, PUT"),
        ("POST", "/ACSMP/Tasks/1", "DELETE, GET, HEAD, PUT"),
        ("GET", "/ACSMP/Tasks/Search", "POST"),
        ("GET", "/ACSMP/Tasks/1/Start", "POST"),
        ("PUT", "/ACSMP/Tasks", "POST"),
        ("OPTIONS", "/ACSMP/Tasks", "POST"),
        ("DELETE", f"/ACSMP/Computility/{UNKNOWN}", "GET, HEAD, PUT"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_served_is_405_naming_those_that_are(
    site: Site, method: str, path: str, allowed: str
) -> None:
    with unchanged(site):
        answer = site.client.ask(method, path)
    refused(answer, 405, 40501, f"{method} is not served on {path}", f"allowed: {allowed}")
    assert answer.response.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/", "/ACSMP", "/ACSMP/Nothing", "/acsmp/Tasks", "/ACSMP/tasks", "/ACSMP/Tasks/", "/ACSMP//Tasks",
        "/ACSMP/Tasks/abc", "/ACSMP/Tasks/-1", "/ACSMP/Tasks/1/Nothing", "/ACSMP/Tasks/" + "9" * 20,
        "/ACSMP/Tasks/\uff11", "/ACSMP/../etc/passwd",
    ],
)  # fmt: skip
def test_an_address_nobody_knows_is_404(site: Site, path: str) -> None:
    with unchanged(site):
        for method in ("GET", "DELETE"):
            refused(site.client.ask(method, path), 404, 40401, "nothing is served at")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/ACSMP/Tasks/0", "ID: must be"),
        ("/ACSMP/Tasks/9999999999999999999", "ID: must be"),
        ("/ACSMP/AlgoDef/a%00b", "Code: holds a control character"),
        ("/ACSMP/AlgoDef/" + "x" * 257, "Code: must be 1 to 256 characters"),
        ("/ACSMP/Computility/123", "Code: must be 20 digits"),
        ("/ACSMP/AlgoFilePackages/" + "1" * 41, "ID: must be 1 to 40 characters"),
        (f"/ACSMP/AlgoServices/Devices/12/{NO_UUID}", "ComputilityCode: must be 20 digits"),
    ],
)
def test_a_path_value_of_the_wrong_form_is_40001(site: Site, path: str, words: str) -> None:
    refused(site.client.get(path), 400, 40001, words)


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "/ACSMP/Tasks/77", None, "no task plan 77"),
        ("DELETE", "/ACSMP/Tasks/77", None, "no task plan 77"),
        ("POST", "/ACSMP/Tasks/77/Start", None, "no task plan 77"),
        ("POST", "/ACSMP/Tasks/77/Stop", None, "no task plan 77"),
        ("GET", f"/ACSMP/TaskInstances/{NO_UUID}", None, f"no task instance {NO_UUID}"),
        ("DELETE", f"/ACSMP/TaskInstances/{NO_UUID}", None, f"no task instance {NO_UUID}"),
        ("DELETE", "/ACSMP/TaskInstances/Search", None, "no task instance Search"),
        ("PUT", "/ACSMP/TaskInstances/77", {}, "no task instance 77"),
        ("PUT", "/ACSMP/TaskInstances", {"ID": 77}, "no task instance 77"),
        ("POST", "/ACSMP/TaskInstances/Start", {"IDs": [NO_UUID]}, NO_UUID),
        ("GET", f"/ACSMP/AlgoFilePackages/{UNKNOWN}", None, f"no package {UNKNOWN}"),
        ("DELETE", f"/ACSMP/AlgoFilePackages/{UNKNOWN}", None, f"no package {UNKNOWN}"),
        ("GET", "/ACSMP/AlgoDef/NOBODY-1.0.0", None, "no capability NOBODY-1.0.0"),
        ("GET", "/ACSMP/AlgoDef/Search", None, "no capability Search"),
        ("GET", f"/ACSMP/Computility/{UNKNOWN}", None, f"no computility {UNKNOWN}"),
        ("PUT", f"/ACSMP/Computility/{UNKNOWN}", {"Name": "x"}, f"no computility {UNKNOWN}"),
        ("PUT", f"/ACSMP/Computility/{UNKNOWN}", {"Approved": True}, UNKNOWN),
        ("PUT", f"/ACSMP/AlgoServices/{NO_UUID}", {"Replicas": 2}, f"no service {NO_UUID}"),
        ("GET", "/ACSMP/Results/77", None, "77"),
        ("DELETE", "/ACSMP/ApiKeys/nobody", None, "no API key nobody"),
    ],
)
def test_what_does_not_exist_is_404_naming_its_kind_and_id(
    site: Site, method: str, path: str, body: Any, words: str
) -> None:
    with unchanged(site):
        refused(site.client.ask(method, path, body), 404, 40401, words)


def test_the_path_governs_and_another_id_in_the_body_is_refused(site: Site) -> None:
    [known] = site.client.fine("GET", "/ACSMP/Tasks/1")["AlgoTaskInfos"]
    with unchanged(site):
        answer = site.client.put(f"/ACSMP/TaskInstances/{known['ID']}", {"ID": NO_UUID})
        refused(answer, 400, 40001, "$.ID", NO_UUID, known["ID"])
        refused(site.client.put("/ACSMP/TaskInstances", {}), 400, 40002, "$.ID")
        bad = {"RulesParams": [{"EventID": "no good"}]}
        refused(
            site.client.put(f"/ACSMP/TaskInstances/{known['ID']}", bad),
            400,
            40001,
            "$.RulesParams[0].EventID",
        )


# --- searches ----------------------------------------------------------------------------------------------------

SEARCHES = {
    "/ACSMP/AlgoFilePackages/Search": "AlgoFilePackageID",
    "/ACSMP/AlgoDef/Search": "Code",
    "/ACSMP/Tasks/Search": "CreatedDate",
    "/ACSMP/TaskInstances/Search": "Number",
    "/ACSMP/Computility": "ComputilityCode",
    "/ACSMP/Alarms/Search": "Since",
    "/ACSMP/Results/Search": "",
}


@pytest.mark.parametrize("path", SEARCHES)
def test_an_unknown_order_property_names_those_that_are_allowed(site: Site, path: str) -> None:
    def ordered(name: str, direction: str) -> dict[str, Any]:
        return {"PageRequest": {"OrderList": [{"Property": name, "Direction": direction}]}}

    answer = site.client.post(path, ordered("Colour", "asc"))
    refused(answer, 400, 40001, "OrderList", "Colour", "allowed:", SEARCHES[path])
    known = answer.message.rpartition("allowed: ")[2].split(", ")
    for name in known:
        assert site.client.post(path, ordered(name, "DESC")).code == 0
    refused(site.client.post(path, ordered(known[0], "up")), 400, 40001, "Direction", "asc", "desc")


@pytest.mark.parametrize("path", [path for path in SEARCHES if "Package" not in path])
def test_a_page_is_clamped_and_says_what_was_used(site: Site, path: str) -> None:
    shown = site.client.fine("POST", path, {"PageRequest": {"PageNumber": 1, "PageSize": 5000}})
    assert shown["PageRequest"]["PageSize"] == 1000
    usual = site.client.fine("POST", path, {})["PageRequest"]
    assert (usual["PageNumber"], usual["PageSize"]) == (1, 10)
    far = site.client.fine("POST", path, {"PageRequest": {"PageNumber": 2**62, "PageSize": 1000}})
    assert far["PageContent"] == []
    for wrong in ({"PageSize": 0}, {"PageSize": -5}, {"PageNumber": 0}, {"PageNumber": "1"}):
        refused(
            site.client.post(path, {"PageRequest": wrong}), 400, 40001, f"$.PageRequest.{next(iter(wrong))}"
        )


def test_filters_in_a_query_are_checked_like_those_in_a_body(site: Site) -> None:
    assert site.client.fine("GET", "/ACSMP/Computility?PageSize=5000")["PageRequest"]["PageSize"] == 1000
    for query, words in (
        ("PageSize=many", "$.PageRequest.PageSize"),
        ("PageNumber=0", "$.PageRequest.PageNumber"),
        ("ComputilityCode=12", "$.ComputilityCode"),
        ("Type=TOASTER", "$.Type"),
    ):
        refused(site.client.get(f"/ACSMP/Computility?{query}"), 400, 40001, words)


# --- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("PUT", "/ACSMP/Tasks/1?Apply=now&Apply=x", "Apply"),
        ("PUT", "/ACSMP/Tasks/1?Apply=now&Apply=now", "Apply"),
        ("POST", "/ACSMP/Tasks/1/Start?Wait=0&Wait=31", "Wait"),
        ("DELETE", f"/ACSMP/AlgoFilePackages/{PACKAGE_ID}?Force=true&Force=false&Wait=0", "Force"),
        ("GET", "/ACSMP/Rollouts/1?Status=FAILED&Status=", "Status"),
        ("GET", "/ACSMP/Computility?Nobody=1&Asked=2&Asked=3&Asked=", "Asked"),
        ("POST", "/CAD/AlgoTasks:search?Wait=0&Wait=0", "Wait"),
    ],
)
def test_a_query_parameter_that_is_given_twice_is_refused(
    site: Site, method: str, path: str, name: str
) -> None:
    times = path.count(f"{name}=")
    body = {"Name": "other"} if method == "PUT" else None
    with unchanged(site):
        answer = site.client.ask(method, path, body)
    assert answer.code == 40001, answer
    assert answer.message.startswith(f"?{name}: given {times} times"), answer


@pytest.mark.parametrize("seconds", ["31", "-1", "soon", "nan", "inf", "1e9", "30.01", "0x1"])
def test_a_wait_out_of_range_is_refused_before_anything_is_done(site: Site, seconds: str) -> None:
    with unchanged(site):
        refused(site.client.post(f"/ACSMP/Tasks?Wait={seconds}", plan()), 400, 40001, "Wait", "from 0 to 30")
        refused(site.client.delete(f"/ACSMP/Tasks/1?Wait={seconds}"), 400, 40001, "Wait")


def test_a_wait_ends_early_when_there_is_nothing_to_wait_for(site: Site) -> None:
    number = site.client.fine("POST", "/ACSMP/Tasks?Wait=30", plan())
    site.client.fine("DELETE", f"/ACSMP/Tasks/{number}?Wait=30")


# --- the envelope ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/ACSMP/Tasks/77", "/ACSMP/Nothing", "/ACSMP/Tasks/Search", "/ACSMP/Tasks/1"]
)
def test_a_request_id_comes_back_if_it_is_one(site: Site, path: str) -> None:
    def told(given: str) -> str:
        return str(site.client.get(path, headers={"X-Request-ID": given}).body["RequestID"])

    assert told("job.7_A-9") == "job.7_A-9"
    assert told("x" * 128) == "x" * 128
    for bad in ("x" * 129, "a b", 'a"b', "<script>", "é"):
        assert len(told(bad)) == 36
        assert told(bad) != told(bad)


def test_a_refusal_by_size_tells_the_request_id_too(site: Site) -> None:
    answer = raw(site, "/ACSMP/Tasks", b" " * 1_100_000, **{"X-Request-ID": "big-1"})
    refused(answer, 413, 41301)
    assert answer.body["RequestID"] == "big-1"


def test_always_200_keeps_the_code_and_the_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("always"), api_always_200="true") as site:
        refused(site.client.get("/ACSMP/Tasks/77"), 200, 40401, "no task plan 77")
        refused(site.client.get("/ACSMP/Nothing"), 200, 40401)
        refused(site.client.post("/ACSMP/Tasks", {}), 200, 40002, "$.Name: required")


def test_a_request_that_went_round_in_a_ring_is_40905(site: Site) -> None:
    with unchanged(site):
        here = "1.1 11000000005020000009, 1.1 11010000005020000001"
        refused(site.client.post("/ACSMP/Tasks", plan(), headers={"Via": here}), 409, 40905, "already passed")
        many = ", ".join(f"1.1 1100000000502000010{n}" for n in range(9))
        refused(site.client.post("/ACSMP/Tasks", plan(), headers={"Via": many}), 409, 40905, "9 platforms")
        fine = ", ".join(f"1.1 1100000000502000010{n}" for n in range(8))
        assert site.client.post("/ACSMP/Tasks/Search", {}, headers={"Via": fine}).code == 0


def test_after_all_of_this_the_site_is_as_it_was(site: Site) -> None:
    kept = records(site)
    assert [row["id"] for row in kept["Plan"]] == [1]
    assert [row["code"] for row in kept["Capability"]] == [CAPABILITY]
    assert kept["Alarm"] == kept["Service"] == kept["Copy"] == []
