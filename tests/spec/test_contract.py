"""The spec against the committed digest of the printed tables: every row, message, field."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from acsmpd.spec.accelerators import ACCELERATORS, canonical_card
from acsmpd.spec.tables import BY_ID, OPERATIONS
from tests.spec.described import FACES, FOLDER, RENAMED, ROOMS, Difference, differences, load, struct_of

ROOT = FOLDER.parent.parent
BESIDE = ROOT.parent / "shared" / "contract"
DEVIATIONS: dict[str, list[dict[str, Any]]] = json.loads(
    (FOLDER / "deviations.json").read_text(encoding="utf-8")
)
ROWS = {"part5-acsmp": 44, "part4-cad": 14, "part4-cap": 17, "part4-ccp": 11}


def excused(found: Difference, deviation: dict[str, Any]) -> bool:
    return all(deviation[key] in ("*", value) for key, value in found._asdict().items())


@pytest.mark.parametrize("part", ROOMS)
def test_every_field_is_as_printed_or_a_named_deviation(part: str) -> None:
    wrong = [it for it in differences(part) if not any(excused(it, known) for known in DEVIATIONS["fields"])]
    assert wrong == []


def test_no_field_deviation_is_stale() -> None:
    found = [it for part in ROOMS for it in differences(part)]
    stale = [known for known in DEVIATIONS["fields"] if not any(excused(it, known) for it in found)]
    assert stale == []


def test_every_deviation_has_a_reason() -> None:
    assert all(len(known["reason"]) > 3 for kind in DEVIATIONS.values() for known in kind)


def printed_rows(part: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(printed, ours) of every operation of a part."""
    pairs = []
    for row in load(part)["operations"]:
        ours = BY_ID[f"{FACES[part]}.{row['id']}"]
        message = {"request": ours.request, "response": ours.response}
        named = {side: kind.__name__ if kind else None for side, kind in message.items()}
        pairs.append((row, {"table": ours.table, "method": ours.method, "uri": ours.uri, **named}))
    return pairs


@pytest.mark.parametrize("part", ROOMS)
def test_every_operation_is_as_printed_or_a_named_deviation(part: str) -> None:
    known = {(it["operation"], it["what"], it["printed"], it["ours"]) for it in DEVIATIONS["operations"]}
    wrong = []
    for row, ours in printed_rows(part):
        for what, mine in ours.items():
            printed = RENAMED.get(row[what], row[what]) if what in ("request", "response") else row[what]
            if printed != mine and (row["id"], what, row[what], mine) not in known:
                wrong.append((row["id"], what, row[what], mine))
    assert wrong == []


def test_no_operation_deviation_is_stale() -> None:
    found = {
        (row["id"], what, row[what], mine)
        for row, ours in printed_rows("part5-acsmp")
        for what, mine in ours.items()
        if row[what] != mine
    }
    assert [
        it
        for it in DEVIATIONS["operations"]
        if (it["operation"], it["what"], it["printed"], it["ours"]) not in found
    ] == []


@pytest.mark.parametrize(("part", "count"), ROWS.items())
def test_every_printed_row_is_there_once(part: str, count: int) -> None:
    printed = {f"{FACES[part]}.{row['id']}" for row in load(part)["operations"]}
    ours = {it.id for it in OPERATIONS if it.face.value.lower() == FACES[part] and it.table is not None}
    assert printed == ours
    assert len(printed) == count


@pytest.mark.parametrize("part", ROOMS)
def test_code_is_a_string_where_the_table_of_the_answer_prints_one(part: str) -> None:
    schemas = load(part)["schemas"]
    for row in load(part)["operations"]:
        ours = BY_ID[f"{FACES[part]}.{row['id']}"]
        code = next(it for it in schemas[row["response"]]["fields"] if it["name"] == "Code")
        if (part, row["response"]) == ("part4-cad", "EmptyResponse"):
            assert ours.code_as_string == ("/Machine/" in row["uri"]), row["id"]
        else:
            assert ours.code_as_string == (code["type"] == "string"), row["id"]


def test_request_id_is_spelled_as_the_table_of_the_answer_prints_it() -> None:
    for part in ROOMS:
        schemas = load(part)["schemas"]
        for row in load(part)["operations"]:
            names = [it["name"] for it in schemas[row["response"]]["fields"]]
            spelled = next((name for name in names if name.lower() == "requestid"), "RequestID")
            assert BY_ID[f"{FACES[part]}.{row['id']}"].request_id_key == spelled


def test_the_accelerators_are_those_of_tables_h1_and_h2() -> None:
    printed = json.loads((FOLDER / "accelerators.json").read_text(encoding="utf-8"))
    rows = [tuple(row) for table in printed.values() for row in table]
    ours = {(it.id, it.vendor) for it in ACCELERATORS}
    assert {(identifier, brand) for identifier, brand, _name in rows} <= ours
    assert ours - {(identifier, brand) for identifier, brand, _name in rows} == {("MLU-270-F4", "MLU")}
    assert all(canonical_card(identifier) == identifier for identifier, _brand, _name in rows)


def test_the_comparison_can_fail() -> None:
    """A comparison that finds nothing anywhere would prove nothing."""
    assert any(it.what == "length" and it.schema == "EnvItem" for it in differences("part5-acsmp"))
    with pytest.raises(AttributeError, match="no struct for Nothing"):
        struct_of("part5-acsmp", "Nothing")


def test_the_committed_digest_is_the_digest_of_the_tables_beside_the_checkout(tmp_path: Path) -> None:
    committed = sorted(FOLDER.glob("*.json")) + sorted((FOLDER / "examples").glob("*.json"))
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in committed)
    if not BESIDE.is_dir():
        return  # the tables are not published with the code; the digest above is all there is
    script = ROOT / "scripts" / "contract-digest"
    subprocess.run(
        [sys.executable, str(script), str(BESIDE), "--into", str(tmp_path)], check=True, timeout=60
    )
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.json")]
    assert len(made) == 9
    for path in made:
        assert (FOLDER / path).read_bytes() == (tmp_path / path).read_bytes(), path


def test_the_digest_holds_no_sentences() -> None:
    for part in ROOMS:
        texts = re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(load(part), ensure_ascii=False))
        assert max(len(text) for text in texts) < 90
