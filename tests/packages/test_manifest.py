"""algo.yaml: what is taken, and the exact words for what is not."""

from __future__ import annotations

import time

import pytest

from acsmpd import faults
from acsmpd.packages.manifest import Ability, Manifest, Xpu, read_manifest
from tests.packages.samples import ALGO_YAML, PACKAGE_ID, image_yaml


def refusal(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(faults.InvalidPackage) as caught:
        read_manifest(raw)
    assert caught.value.code == 42202
    return caught.value.message


def changed(old: str, new: str) -> str:
    assert old in ALGO_YAML
    return ALGO_YAML.replace(old, new)


def test_the_sample_is_read_in_full() -> None:
    assert read_manifest(ALGO_YAML.encode()) == Manifest(
        id=PACKAGE_ID,
        name="human-struct",
        version="1.10",
        provider="PROVIDER",
        description="people and what they wear",
        tags=("human", "day"),
        kind="artifact",
        local_uri="bin",
        abilities=(
            Ability(
                code="PROVIDER-HUMAN_ATTR_ALERT-1.0.0",
                name="人体属性告警",
                data_type="ALERT",
                event_ids=("INTRUSION", "CLIMB"),
                task_types=("VIDEO_REALTIME", "VIDEO_FILE"),
                task_fields=(
                    {
                        "Name": "alertInterval",
                        "Text": "告警间隔",
                        "Type": "long",
                        "Visible": True,
                        "DefaultValue": 30,
                        "Validation": None,
                    },
                ),
            ),
        ),
        cmd=("./run.sh", "--mode", "two words"),
        env=(("LOG_LEVEL", "info"),),
        xpu=(
            Xpu(
                quota=0.5,
                limit=0.0,
                vendor="NVIDIA",
                accelerator="NVIDIA-A2",
                resolution="PIXELS_200W",
                stream_video_quota=6,
            ),
        ),
    )


def test_stored_and_read_again_it_is_the_same() -> None:
    manifest = read_manifest(ALGO_YAML.encode())
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(manifest.to_json().decode()) == manifest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("algo_runtime:", "AlgoRuntime:"),
        ("algo_runtime:", "algoRuntime:"),
        ("algo_runtime:", "algo-runtime:"),
        ("local_uri:", "localUri:"),
        ("provider:", "Author:"),
        ("stream_video_quota", "Stream_Video_Quota"),
        ("data_type: ALERT", "DataType: alert"),
        ("type: artifact", "Type: BIN"),
        ('id: "', "id: '"),
    ],
)
def test_every_printed_spelling_of_a_key_is_understood(old: str, new: str) -> None:
    text = changed(old, new)
    if old == 'id: "':
        text = text.replace('102"', "102'")
    assert read_manifest(text.encode()) == read_manifest(ALGO_YAML.encode())


@pytest.mark.parametrize("given", ["image", "Image", "ENGINE"])
def test_an_image_needs_only_an_address(given: str) -> None:
    manifest = read_manifest(image_yaml(f"  type: {given}\n  remote_uri: registry:5000/a:1\n").encode())
    assert (manifest.kind, manifest.remote_uri, manifest.local_uri) == ("image", "registry:5000/a:1", "")


def test_an_unquoted_id_keeps_all_its_digits() -> None:
    assert read_manifest(changed(f'"{PACKAGE_ID}"', PACKAGE_ID).encode()).id == PACKAGE_ID


def test_without_an_id_it_has_none() -> None:
    assert read_manifest(changed(f'id: "{PACKAGE_ID}"', "").encode()).id is None


def test_a_command_list_is_taken_word_by_word() -> None:
    text = changed('cmd: ./run.sh --mode "two words"', 'cmd: [./run.sh, "a b", " c"]')
    assert read_manifest(text.encode()).cmd == ("./run.sh", "a b", " c")


def test_no_xpu_means_cpu() -> None:
    assert read_manifest((ALGO_YAML.partition("  xpu:")[0]).encode()).xpu == ()


def test_task_fields_are_handed_on_as_they_stand() -> None:
    fields = (
        "{Name: no, A: 0x1F, B: 1.5, C: 1e400, D: 2023-13-45, e_E: [off, false], F: 99999999999999999999}"
    )
    text = changed("task_fields:\n", f"task_fields:\n      - {fields}\n")
    assert read_manifest(text.encode()).abilities[0].task_fields[0] == {
        "Name": "no",
        "A": "0x1F",
        "B": 1.5,
        "C": "1e400",
        "D": "2023-13-45",
        "e_E": ["off", False],
        "F": "99999999999999999999",
    }


def test_a_card_without_numbers_takes_one_whole_card() -> None:
    text = ALGO_YAML.partition("    - {quota")[0] + "    - {accelerator: 'NVIDIA-T4'}\n"
    assert read_manifest(text.encode()).xpu == (Xpu(quota=1.0, accelerator="NVIDIA-T4"),)


def test_unknown_keys_are_ignored() -> None:
    assert read_manifest((ALGO_YAML + "\nfuture: {a: [1, 2]}\n").encode()).name == "human-struct"


ABILITY = "PROVIDER-HUMAN_ATTR_ALERT-1.0.0"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("name: human-struct", "", "name: required, but missing"),
        ("name: human-struct", "name: ~", "name: required, but missing"),
        ("name: human-struct", "name: [a]", "name: a text is expected"),
        ("name: human-struct", f"name: {'x' * 257}", "name: longer than 256 characters"),
        ("name: human-struct", 'name: "a\\tb"', "name: holds a control character"),
        ("version: 1.10", "", "version: required, but missing"),
        ("version: 1.10", f"version: {'1' * 257}", "version: longer than 256 characters"),
        ("provider: PROVIDER", "", "provider: required (or author), but missing"),
        ("provider: PROVIDER", f"provider: {'人' * 257}", "provider: longer than 256 characters"),
        (f'"{PACKAGE_ID}"', '"123"', "id: 40 digits are expected"),
        ("type: artifact", "type: program", "bin.type: image or artifact is expected, not 'program'"),
        ("  type: artifact\n", "", "bin.type: required, but missing"),
        ("  local_uri: bin\n", "", "bin.local_uri: required for an artifact, but missing"),
        ("local_uri: bin", "local_uri: /bin", "bin.local_uri: /bin: an absolute path"),
        (
            "local_uri: bin",
            "local_uri: a/../../b",
            "bin.local_uri: a/../../b: the path leaves the package (..)",
        ),
        (
            ABILITY,
            "a b",
            "abilities[0].code: 1 to 127 letters, digits, _ . - are expected, not 'a b'",
        ),
        (ABILITY, "Search", "abilities[0].code: 'Search' is reserved and cannot be a capability"),
        (ABILITY, "..", "abilities[0].code: '..' is reserved and cannot be a capability"),
        ("code: " + ABILITY, "cod: x", "abilities[0].code: required, but missing"),
        (
            "data_type: ALERT",
            "data_type: ALARM",
            "abilities[0].data_type: 'ALARM' is none of STRUCTURING, ALERT, STATISTICS, OTHER",
        ),
        (
            "INTRUSION, CLIMB",
            "INTRUSION, climb",
            "abilities[0].event_ids[1]: 1 to 128 of A-Z, 0-9, _ are expected, not 'climb'",
        ),
        (
            "VIDEO_FILE",
            "VIDEO",
            "abilities[0].task_types: 'VIDEO' is none of "
            "VIDEO_REALTIME, VIDEO_PLAYBACK, VIDEO_FILE, IMAGE_REALTIME",
        ),
        (
            "task_types: [VIDEO_REALTIME, VIDEO_FILE]",
            "task_types: []",
            "abilities[0].task_types: required: at least one of "
            "VIDEO_REALTIME, VIDEO_PLAYBACK, VIDEO_FILE, IMAGE_REALTIME",
        ),
        ("task_fields:", "task_fields: 7\n    other:", "abilities[0].task_fields: a list is expected"),
        (
            "task_fields:",
            "task_fields: [7]\n    other:",
            "abilities[0].task_fields[0]: a mapping is expected",
        ),
        (
            "cmd: ./run.sh",
            'cmd: "\\"./run.sh"\n  x: y',
            "algo_runtime.cmd: cannot be split into words: No closing quotation",
        ),
        ('cmd: ./run.sh --mode "two words"', "", "algo_runtime.cmd: required for an artifact, but missing"),
        (
            "LOG_LEVEL",
            "LOG LEVEL",
            "algo_runtime.env[0].name: 'LOG LEVEL' cannot name an environment variable",
        ),
        ("LOG_LEVEL, value: info}", "A, value: x}, {name: A}", "algo_runtime.env[1].name: A is given twice"),
        ("quota: 0.5", "quota: 0", "algo_runtime.xpu[0].quota: more than 0 cards are expected"),
        ("quota: 0.5", "quota: -1", "algo_runtime.xpu[0].quota: a number from 0 to 64 is expected"),
        ("quota: 0.5", "quota: .nan", "algo_runtime.xpu[0].quota: a number from 0 to 64 is expected"),
        ("limit: 0", "limit: lots", "algo_runtime.xpu[0].limit: a number from 0 to 64 is expected"),
        (
            "stream_video_quota: 6",
            "stream_video_quota: 6.5",
            "algo_runtime.xpu[0].capacities.stream_video_quota: a whole number is expected",
        ),
        ("tags: [human, day]", "tags: human", "tags: a list is expected"),
        ("tags: [human, day]", f"tags: [{'a,' * 1001}]", "tags: more than 1000 entries"),
        ("quota: 0.5", "quota: 1.2.3", "algo_runtime.xpu[0].quota: a number from 0 to 64 is expected"),
        ("capacities: {", "capacities: 5, c: {", "algo_runtime.xpu[0].capacities: a mapping is expected"),
        ("bin:", "bin: [a]\nbinary:", "bin: a mapping is expected"),
        ("version: 1.10", "version: 1\nVersion: 2", "Version: given twice (also as 'version')"),
        ("version: 1.10", "version: 1\nversion: 2", "line 5: 'version' is given twice"),
    ],
)
def test_a_wrong_value_is_named(old: str, new: str, reason: str) -> None:
    assert refusal(changed(old, new)) == f"algo.yaml: {reason}"


def test_one_capability_code_twice_in_a_package() -> None:
    again = f"  - {{code: {ABILITY}, task_types: [VIDEO_FILE]}}\nalgo_runtime:"
    assert refusal(changed("algo_runtime:", again)) == (
        f"algo.yaml: abilities[1].code: {ABILITY} stands twice in this package"
    )


def test_a_package_without_capabilities() -> None:
    text = ALGO_YAML[: ALGO_YAML.index("abilities:")] + ALGO_YAML[ALGO_YAML.index("algo_runtime:") :]
    assert refusal(text) == "algo.yaml: abilities: required: a package carries at least one capability"


def test_an_image_without_any_address() -> None:
    text = image_yaml("  type: image\n")
    assert refusal(text) == "algo.yaml: bin.remote_uri: required (or local_uri) for an image, but missing"


BOMB = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a mapping of keys and values"),
        ("- a\n- b\n", "not a mapping of keys and values"),
        ("just words", "not a mapping of keys and values"),
        (BOMB, "line 1: YAML anchors and aliases are not accepted"),
        ("a: *x\n", "line 1: YAML anchors and aliases are not accepted"),
        ("a: [1,\nb", "not valid YAML: line 3: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "not valid YAML: line 2: but found another document"),
        ("? [a]\n: b\n", "line 1: a key that is not plain text"),
        ('name: "a\\0b"\n', "line 1: a text with U+0000 or half a surrogate pair"),
        ("a: " + "[" * 33 + "]" * 33, "line 1: nested more than 32 deep"),
        ("a: [" + "1," * 50_000 + "]", "more than 40000 YAML nodes"),
        (b"name: \xb2\xe2\xca\xd4\n", "not UTF-8 (byte 6)"),
        (b"#" * (1024 * 1024 + 1), "larger than 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_yaml_that_is_none_or_too_much(text: str | bytes, reason: str) -> None:
    assert refusal(text) == f"algo.yaml: {reason}"


def test_no_tag_ever_makes_an_object() -> None:
    manifest = read_manifest(
        changed("name: human-struct", "name: !!python/object/apply:os.getcwd x").encode()
    )
    assert manifest.name == "x"


@pytest.mark.parametrize("unit", ["[", "{", "- ", "? ", '"', "!!a ", "a: ", "|\n", "\t", "&", "%"])
def test_a_megabyte_of_nonsense_is_refused_in_time(unit: str) -> None:
    began = time.monotonic()
    refusal((unit * (1024 * 1024 // len(unit)))[: 1024 * 1024])
    assert time.monotonic() - began < 5
