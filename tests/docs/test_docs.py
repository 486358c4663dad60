"""What the pages say is so: commands, options, settings, roles, links, Codes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import click
import pytest

from acsmpd import faults
from acsmpd.api.access import RIGHTS
from acsmpd.cli import cli
from acsmpd.packages.manifest import read_manifest
from acsmpd.settings.declared import all_declared
from acsmpd.spec.messages.results import ResultRequest
from acsmpd.spec.reading import read_strict
from acsmpd.spec.tables import OPERATIONS
from acsmpd.version import VERSION
from tests.docs.pages import CONVENTIONS, PAGES, README, ROOT, blocks, commands, rows, section

SETTINGS = {item.where: item for keys in all_declared().values() for item in keys.values()}
DEMO_NAMES = {"ACSMPD_DEMO_VIDEO", "ACSMPD_PYTHON"}


def judge(words: list[str]) -> None:
    """Fail unless click knows the command and every option of it."""
    command: click.Command = cli
    rest = list(words)
    while rest and isinstance(command, click.Group):
        if rest[0].startswith("-"):
            del rest[: 2 if rest[0] == "--config" else 1]
            continue
        found = command.commands.get(rest.pop(0))
        assert found is not None, f"acsmpd {' '.join(words)}: no such command"
        command = found
    known = {name for one in command.params for name in one.opts} | {"--config", "--help"}
    unknown = [word for word in rest if word.startswith("-") and word not in known]
    assert not unknown, f"acsmpd {' '.join(words)}: no option {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    found = commands(page.read_text("utf-8"))
    assert found
    for words in found:
        judge(words)


def test_the_judge_of_commands_can_say_no() -> None:
    with pytest.raises(AssertionError, match="no such command"):
        judge(["devices"])
    with pytest.raises(AssertionError, match="no option"):
        judge(["key", "create", "--nme", "x"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_exist_and_can_be_run(page: Path) -> None:
    for name in set(re.findall(r"\bscripts/[a-z-]+(?:\.sh)?\b", page.read_text("utf-8"))):
        path = ROOT / name
        assert path.is_dir() or os.access(path, os.X_OK), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_rooms_and_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    names = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"`(acsmpd/[a-z/.]+)`", text)
    names += re.findall(r"\b((?:conf|systemd)/[a-z.]+\.(?:toml|service))", text)
    assert names or page is CONVENTIONS
    for name in names:
        assert (page.parent / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    sections = "|".join(all_declared())
    for name in re.findall(rf"`((?:{sections})\.[a-z_0-9]+)(?: = \w+)?`", text):
        assert name in SETTINGS or name in ("acsmpd.clock",), name
    known = {item.env for item in SETTINGS.values()} | DEMO_NAMES
    for name in re.findall(r"ACSMPD_[A-Z]+_?[A-Z_]*", text):
        assert name in known or name == "ACSMPD_", name


def test_the_table_of_settings_tells_the_defaults() -> None:
    found = rows(section(README, "Settings"), "setting | default | meaning")
    assert len(found) > 10
    for name, default, _meaning in found:
        declared = SETTINGS[name.strip("`")].default
        shown = list(declared) if isinstance(declared, tuple) else declared
        assert default.strip("`") == json.dumps(shown), name


def test_the_table_of_limits_names_settings() -> None:
    for _what, _limit, names in rows(section(README, "Limits"), "what | limit | setting"):
        for name in re.findall(r"`([^`]+)`", names):
            assert name in SETTINGS, name


def test_the_table_of_codes_is_the_catalogue() -> None:
    found = rows(section(CONVENTIONS, "Envelope, status, codes"), "Code | HTTP | meaning")
    assert [(int(code), title) for code, _status, title in found] == faults.catalogue()
    assert all(int(code) // 100 == int(status) for code, status, _title in found)


def test_every_role_is_told() -> None:
    found = rows(section(README, "Users, keys, roles"), "role | may")
    assert {name for cells in found for name in re.findall(r"`(\w+)`", cells[0])} == set(RIGHTS)


def test_addresses_that_are_named_are_served() -> None:
    served = {(row.method, _form(row.uri)) for row in OPERATIONS if row.served and not row.planned}
    served |= {(method, _form(uri)) for row in OPERATIONS for method, uri in row.aliases}
    for page in PAGES:
        found = re.findall(
            r"\b(GET|PUT|POST|DELETE) '?(/ACSMP/[^\s'`]+|/[a-z.]+json)", page.read_text("utf-8")
        )
        assert found
        for method, uri in found:
            assert (method, _form(uri)) in served, f"{page.name}: {method} {uri}"


def _form(uri: str) -> str:
    """An address with its variable parts made equal, without the query."""
    return re.sub(r"<\w+>|\$\w+", "*", uri.partition("?")[0])


def test_the_examples_are_what_the_platform_reads() -> None:
    [manifest] = blocks(section(CONVENTIONS, "Package file"), "yaml")
    judged = read_manifest(manifest.encode())
    assert (judged.kind, judged.abilities[0].event_ids) == ("artifact", ("INTRUSION",))
    [result] = blocks(section(CONVENTIONS, "Results"), "json")
    message, unknown = read_strict(ResultRequest, result.encode())
    assert isinstance(message, ResultRequest)
    assert not unknown
    assert message.event_id == "INTRUSION"


def test_what_is_planned_is_not_promised() -> None:
    planned = {row.uri.split("/")[2] for row in OPERATIONS if row.planned and row.served}
    for word in ("Evaluations", "Users"):
        assert word in planned, f"{word} is served now: README, 'What is served', has to say so"


def test_changes_end_the_page_and_begin_with_this_version() -> None:
    text = README.read_text("utf-8")
    assert text.rstrip().endswith(section(README, "CHANGES").rstrip())
    assert re.findall(r"^### (\S+)$", section(README, "CHANGES"), re.M)[0] == VERSION


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n" in text
    assert "END OF TERMS AND CONDITIONS" in text
