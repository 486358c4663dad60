"""A manifest.csv as people, spreadsheets and enemies write it."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.licensing.manifest import Line, folder_of, granted, lines
from acsmpd.licensing.stick import read_below, read_file

DEVICE = "11010000005050000001"


def read(text: str) -> list[Line]:
    return list(lines(text.encode()))


def test_a_line_is_file_provider_device_abilities() -> None:
    text = (
        f"\ufefffile,provider,device,abilities\r\none.lic,厂家,{DEVICE},FIRE=16,SMOKE=8\r\n# a note\r\n\r\n"
    )
    assert read(text) == [
        Line(2, "one.lic", {
            "Provider": "厂家", "DeviceID": DEVICE,
            "AbilityAuths": [{"AlgoDefCode": "FIRE", "Quota": 16}, {"AlgoDefCode": "SMOKE", "Quota": 8}],
        })
    ]  # fmt: skip


def test_blanks_quotes_and_what_is_left_out() -> None:
    assert [(one.file, one.fields) for one in read('两 路.lic , "A ""B"", Ltd" ,,\n"c,d.lic",P\ne.lic')] == [
        ("两 路.lic", {"Provider": 'A "B", Ltd', "DeviceID": ""}),
        ("c,d.lic", {"Provider": "P", "DeviceID": ""}),
        ("e.lic", {"Provider": "", "DeviceID": ""}),
    ]


def test_only_a_first_line_is_a_head() -> None:
    assert [one.number for one in read("file,provider\nfile,P\n")] == [2]
    assert [one.number for one in read("\nfile,P\n")] == [2]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'good.lic,"P', "the line is no CSV"),
        (b'"good.lic"x,P', "the line is no CSV"),
        (b'a,"b" c,d', "the line is no CSV"),
        (b",P", "no file is named"),
        (b",", "no file is named"),
        (b"a,P,,FIRE", "ability FIRE: has to be CODE=NUMBER"),
        (b"a,P,,FIRE=-1", "ability FIRE=-1: the quota has to be a number of streams from 0"),
        ("a,P,,FIRE=٣".encode(), "ability FIRE=٣: the quota has to be a number of streams from 0"),
        (b"a,P,,FIRE=" + b"9" * 5000, "the quota has to be a number of streams from 0"),
        (b"a,P,,=1", "ability =1: this is no capability code"),
        (b"a,P,,A\x07=1", "this is no capability code"),
        ("a,厂家".encode("gbk"), "the line is no UTF-8"),
    ],
)
def test_a_line_that_is_none_fails_alone(line: bytes, words: str) -> None:
    good, bad, last = lines(b"a.lic,P\n" + line + b"\nb.lic,P")
    assert (good.file, good.fault, last.file, last.fault) == ("a.lic", "", "b.lic", "")
    assert words in bad.fault
    assert (bad.number, bool(bad.file)) == (2, True)


def test_what_a_spreadsheet_writes_in_utf_16_is_refused_line_by_line() -> None:
    faults_of = [one.fault for one in lines("a.lic,P\nb.lic,P".encode("utf-16"))]
    assert faults_of == ["the line is no UTF-8", "the line is no CSV"]


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)


@given(st.text("ab ", min_size=1).map(str.strip).filter(bool), FIELD, FIELD)
def test_what_a_csv_writer_writes_is_read(name: str, provider: str, device: str) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerow([name, provider, device])
    [line] = read(out.getvalue())
    assert (line.file, line.fields) == (
        name, {"Provider": provider.strip(" \t"), "DeviceID": device.strip(" \t")}
    )  # fmt: skip


@given(st.binary(max_size=200))
def test_no_manifest_breaks_the_reader(raw: bytes) -> None:
    for line in lines(raw):
        assert line.number > 0
        assert line.fault or line.file


def test_an_ability_ends_with_its_last_sign_of_equality() -> None:
    assert granted("A=B=004") == {"AlgoDefCode": "A=B", "Quota": 4}


# --- files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "USB 盘"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.lic").write_bytes(b"a")
    (folder / "sub" / "两 路.lic").write_bytes(b"b")
    (tmp_path / "outside.lic").write_bytes(b"secret")
    (tmp_path / "USB 盘2").mkdir()
    (tmp_path / "USB 盘2" / "c.lic").write_bytes(b"secret")
    return folder.resolve()


def test_what_lies_in_the_folder_is_read(stick: Path) -> None:
    (stick / "inner").symlink_to("sub/两 路.lic")
    assert [read_below(stick, name) for name in ("a.lic", "./a.lic", "sub/两 路.lic", "inner")] == [
        b"a", b"a", b"b", b"b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "../outside.lic",
        "sub/../../outside.lic",
        "..",
        "sub/..",
        "/etc/passwd",
        "out",
        "up/outside.lic",
        "next",
    ],
)
def test_what_leaves_the_folder_is_refused(stick: Path, name: str) -> None:
    (stick / "out").symlink_to(stick.parent / "outside.lic")
    (stick / "up").symlink_to("..")
    (stick / "next").symlink_to("../USB 盘2/c.lic")
    with pytest.raises(faults.InvalidField, match=r"^the file has to lie in the folder$"):
        read_below(stick, name)


@pytest.mark.parametrize("name", ["nowhere", "sub", ".", "a.lic/x", "round", "x\0y", "n" * 300, "pipe"])
def test_what_is_no_file_is_refused_at_once(stick: Path, name: str) -> None:
    (stick / "round").symlink_to("round")
    os.mkfifo(stick / "pipe")
    with pytest.raises(faults.InvalidField, match=r"is no file|cannot be read"):
        read_below(stick, name)


def test_no_more_is_read_than_may_be(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "large", 10) == b"x" * 11


def test_a_folder_without_a_manifest_says_so(stick: Path) -> None:
    with pytest.raises(faults.InvalidField, match=r"manifest\.csv: is no file"):
        folder_of(stick)
    with pytest.raises(faults.InvalidField, match="nowhere: cannot be read: No such file"):
        folder_of(stick / "nowhere")
    (stick / "manifest.csv").write_bytes(b"a.lic,P")
    assert (folder_of(stick / "sub" / "..").root, folder_of(stick).raw) == (stick, b"a.lic,P")
