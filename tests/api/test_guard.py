"""The guard by itself: which heads it lets through, how much body it grants, what it tells of a refusal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from acsmpd import faults
from acsmpd.api.guard import FORM_OVERHEAD_BYTES, UNPROVEN_CAP, Guard, Head, Keep, Verdict, request_id
from acsmpd.api.guard_routes import Routes
from acsmpd.spec.operation import Operation
from acsmpd.spec.tables import BY_ID, OPERATIONS

from .server_setup import (
    FORM,
    GOOD,
    IMPORT,
    INSTANCE,
    JSON_ROW,
    MIB,
    SETTINGS,
    Refusal,
    make_guard,
    result_path,
)

SERVED = [row for row in OPERATIONS if row.served]
JSON = {"Content-Type": "application/json"}


def judged(guard: Guard, method: str, path: str, length: int | None = 10, **headers: str) -> Verdict:
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return guard.judge(Head(method, path, path, named, length, "10.0.0.7"))


def refusal_of(verdict: Verdict) -> tuple[int, str]:
    assert verdict.fault is not None
    return verdict.fault.code, verdict.fault.message


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return make_guard(tmp_path)


def example(row: Operation, uri: str) -> str:
    return re.sub(r"<(\w+)>", lambda place: "12345", uri)


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.id)
def test_every_served_row_is_found_at_each_of_its_addresses(row: Operation) -> None:
    routes = Routes(OPERATIONS)
    for method, uri in ((row.method, row.uri), *row.aliases):
        assert row in routes.find(method, example(row, uri)).rows


def test_rows_that_are_only_called_are_not_found() -> None:
    only = next(row for row in OPERATIONS if not row.served)
    with pytest.raises(faults.NotFound):
        Routes([only]).find(only.method, example(only, only.uri))


def test_a_literal_address_comes_before_one_with_a_placeholder() -> None:
    found = Routes(OPERATIONS).find("POST", "/ACSMP/Results/Search")
    assert [row.id for row in found.rows] == ["acsmp.search_results"]


def test_the_values_at_the_placeholders_are_told() -> None:
    found = Routes(OPERATIONS).find("POST", result_path("sig"))
    assert found.values == {"InstanceID": INSTANCE, "Signature": "sig"}


def test_a_number_is_not_a_word_so_a_verb_never_falls_into_a_siblings_rule() -> None:
    with pytest.raises(faults.MethodNotAllowed, match=r"^DELETE is not served on .*; allowed: POST$"):
        Routes(OPERATIONS).find("DELETE", "/ACSMP/Tasks/Search")


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/ACSMP", "/acsmp/Register", JSON_ROW + "/", "/ACSMP/Register\n"]
)
def test_an_unknown_address_is_40401(guard: Guard, path: str) -> None:
    assert refusal_of(judged(guard, "POST", path)) == (40401, f"nothing is served at {path}")


def test_a_known_address_with_another_method_is_40501_naming_those_it_has(guard: Guard) -> None:
    code, message = refusal_of(judged(guard, "PATCH", "/ACSMP/Register", **GOOD))
    assert (code, message) == (40501, "PATCH is not served on /ACSMP/Register; allowed: POST")


@pytest.mark.parametrize("path", ["/ACSMP/Register", "/ACSMP/UnRegister", "/ACSMP/Login", "/ACSMP/Keepalive"])
def test_rows_with_credentials_of_their_own_take_64_kib_in_memory_from_anybody(
    guard: Guard, path: str
) -> None:
    verdict = judged(guard, "POST", path, UNPROVEN_CAP, Authorization="Bearer never-heard-of")
    assert (verdict.fault, verdict.cap, verdict.keep) == (None, UNPROVEN_CAP, Keep.MEMORY)
    code, message = refusal_of(judged(guard, "POST", path, UNPROVEN_CAP + 1))
    assert (code, message) == (41301, "the body has 65537 bytes; this row takes at most 65536")


def test_a_link_or_open_row_takes_no_more_than_64_kib_though_its_row_says_more(guard: Guard) -> None:
    verdict = judged(guard, "GET", "/healthz", UNPROVEN_CAP)
    assert (verdict.fault, verdict.cap) == (None, UNPROVEN_CAP)
    assert refusal_of(judged(guard, "GET", "/healthz", UNPROVEN_CAP + 1))[0] == 41301


@pytest.mark.parametrize(
    ("headers", "code", "words"),
    [
        ({}, 40101, "this needs a token: send Authorization: Bearer <token>"),
        ({"Authorization": "Bearer wrong"}, 40101, "the token is not known here"),
        ({"Authorization": "Bearer viewer"}, 40301, "key:viewer lacks the right 'packages' that this needs"),
        ({"Authorization": "Bearer flooding"}, 42901, "too many unknown tokens"),
    ],
)
def test_who_may_not_send_is_refused(guard: Guard, headers: dict[str, str], code: int, words: str) -> None:
    for length in (10, 50 * MIB, None):
        assert refusal_of(judged(guard, "POST", IMPORT, length, **headers)) == (code, words)


def test_who_may_not_send_is_not_told_that_it_is_too_much(guard: Guard) -> None:
    assert refusal_of(judged(guard, "POST", JSON_ROW, 10**15))[0] == 40101


def test_a_json_row_takes_1_mib_in_memory(guard: Guard) -> None:
    verdict = judged(guard, "POST", JSON_ROW, MIB, **GOOD)
    assert (verdict.fault, verdict.cap, verdict.keep) == (None, MIB, Keep.MEMORY)
    assert refusal_of(judged(guard, "POST", JSON_ROW, MIB + 1, **GOOD))[0] == 41301
    assert judged(guard, "POST", JSON_ROW, None, **GOOD).cap == MIB  # chunked: counted as it comes


def test_a_package_is_streamed_up_to_the_setting_and_the_forms_overhead(guard: Guard) -> None:
    most = SETTINGS.packages.max_bytes + FORM_OVERHEAD_BYTES
    assert refusal_of(judged(guard, "POST", IMPORT, most + 1, **GOOD, Content_Type=FORM))[0] == 41301
    verdict = judged(guard, "POST", IMPORT, None, **GOOD, Content_Type=FORM)
    assert (verdict.fault, verdict.cap, verdict.keep) == (None, most, Keep.STREAM)


def test_an_import_by_url_is_json_and_no_larger_than_json_is(guard: Guard) -> None:
    verdict = judged(guard, "POST", IMPORT, 100, **GOOD, Content_Type="application/json; charset=utf-8")
    assert (verdict.fault, verdict.cap, verdict.keep) == (None, MIB, Keep.MEMORY)


def test_a_result_is_judged_by_its_signature_alone(guard: Guard) -> None:
    verdict = judged(guard, "POST", result_path(), 16 * MIB)
    assert (verdict.fault, verdict.cap, verdict.keep) == (None, SETTINGS.results.max_body_bytes, Keep.SPOOL)
    for path in (result_path("x"), result_path().replace("6b1f", "6b1e")):
        assert refusal_of(judged(guard, "POST", path, **GOOD)) == (40401, "this link is not valid")
    assert refusal_of(judged(guard, "POST", result_path(), 16 * MIB + 1))[0] == 41301


def test_rows_on_one_address_are_told_apart_by_the_content_type(guard: Guard) -> None:
    viewer = {"Authorization": "Bearer viewer"}
    listing = judged(guard, "POST", "/ACSMP/License", 10, **viewer, Content_Type="application/json")
    assert listing.fault is None
    assert listing.cap == MIB
    form = judged(guard, "POST", "/ACSMP/License", 10, **viewer, Content_Type=FORM)
    assert refusal_of(form)[0] == 40301
    mine = judged(guard, "POST", "/ACSMP/License", 2 * MIB, **GOOD, Content_Type=FORM)
    assert (mine.fault, mine.keep) == (None, Keep.SPOOL)


def test_without_a_content_type_the_largest_cap_of_the_rows_somebody_may_call_counts(guard: Guard) -> None:
    verdict = judged(guard, "POST", "/ACSMP/License", 2 * MIB, Authorization="Bearer viewer")
    assert verdict.fault is None
    assert verdict.cap == BY_ID["acsmp.import_license"].body_cap
    assert refusal_of(judged(guard, "POST", "/ACSMP/License"))[0] == 40101


@pytest.mark.parametrize(("path", "media"), [(IMPORT, FORM), (result_path(), "application/json")])
def test_without_room_a_body_that_would_reach_the_disk_is_50701(
    tmp_path: Path, path: str, media: str
) -> None:
    guard = make_guard(tmp_path, min_free_bytes=2**60)
    for length in (10, None):
        code, message = refusal_of(judged(guard, "POST", path, length, **GOOD, Content_Type=media))
        assert code == 50701
        assert re.fullmatch(
            rf"cannot take {length or 0} bytes: \d+ are free in the data directory, {2**60} of them .*",
            message,
        )
    assert judged(guard, "POST", JSON_ROW, 10, **GOOD).fault is None  # stays in memory


def test_a_data_directory_that_is_gone_is_a_fault_with_words(tmp_path: Path) -> None:
    guard = make_guard(tmp_path / "gone")
    code, message = refusal_of(judged(guard, "POST", result_path()))
    assert code == 50000
    assert message.endswith("No such file or directory")


def test_every_refusal_of_a_known_row_is_heard_of(tmp_path: Path) -> None:
    refusals: list[Refusal] = []
    guard = make_guard(tmp_path, refusals)
    judged(guard, "POST", IMPORT, **{"X-Request-ID": "r-1"})
    judged(guard, "POST", IMPORT, Authorization="Bearer viewer")
    judged(guard, "POST", JSON_ROW, 10**9, **GOOD)
    judged(guard, "POST", "/nothing")
    told = [(row.id, caller.shown, caller.address, fault.code) for row, caller, fault, _ in refusals]
    assert told == [
        ("acsmp.import_algo_file_package", "nobody", "10.0.0.7", 40101),
        ("acsmp.import_algo_file_package", "key:viewer", "10.0.0.7", 40301),
        (next(row.id for row in SERVED if row.uri == JSON_ROW), "key:good", "10.0.0.7", 41301),
    ]
    assert refusals[0][3] == "r-1"


def test_nobody_needs_to_hear_of_refusals(tmp_path: Path) -> None:
    guard = make_guard(tmp_path)
    silent: dict[str, Any] = {name[1:]: value for name, value in vars(guard).items() if name != "_routes"}
    silent.pop("refused")
    silent["min_free_bytes"] = silent.pop("min_free")
    assert refusal_of(judged(Guard(**silent), "POST", IMPORT))[0] == 40101


@pytest.mark.parametrize(
    ("given", "kept"), [("a-1.B_2", True), ("", False), ("x y", False), ("x" * 129, False)]
)
def test_a_proper_request_id_is_kept(given: str, kept: bool) -> None:
    assert (request_id(given) == given) is kept
    assert request_id(None) != request_id(None)


def test_an_answer_is_the_envelope_its_row_prints(guard: Guard) -> None:
    fault = faults.NoToken("no token")
    row = next(row for row in OPERATIONS if row.code_as_string)
    assert guard.answer(row, fault, "r").get_json()["Code"] == "40101"
    assert guard.answer(None, fault, "r").get_json() == {
        "Code": 40101,
        "Message": "no token",
        "RequestID": "r",
    }
