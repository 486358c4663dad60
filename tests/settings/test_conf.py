"""conf/acsmpd.toml is made from the declarations and says everything they say."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from acsmpd.settings import Settings, load, render_default_toml
from acsmpd.settings.declared import all_declared, keys_of, section_types

CONF = Path(__file__).parents[2] / "conf" / "acsmpd.toml"
AGAIN = "python -c 'from acsmpd.settings import *; print(render_default_toml(), end=\"\")' > conf/acsmpd.toml"


def test_the_file_is_the_generated_one() -> None:
    assert CONF.read_text(encoding="utf-8") == render_default_toml(), f"made again by: {AGAIN}"


def test_it_holds_every_setting_at_its_default() -> None:
    assert load(CONF, {}) == Settings()
    tables = msgspec.toml.decode(CONF.read_bytes())
    for section, declared in all_declared().items():
        if "" not in declared:
            assert list(tables[section]) == list(declared), section


def test_every_key_follows_a_comment_of_its_own() -> None:
    lines = CONF.read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        if re.match(r"#?[a-z_0-9]+ = ", line):
            assert lines[index - 1].startswith(("# ", "#advertise")), line


def test_the_examples_are_lawful_once_uncommented(tmp_path: Path) -> None:
    text = (
        CONF.read_text(encoding="utf-8")
        .replace("advertise = []\n", "", 1)
        .replace('code = ""', f'code = "{"1" * 20}"', 1)
    )
    path = tmp_path / "acsmpd.toml"
    path.write_text(re.sub(r"(?m)^#(?=\S)", "", text), encoding="utf-8")
    settings = load(path, {})
    assert settings.upstream[0].url == "http://10.0.0.1:8750"
    assert settings.server.advertise[0].network == "10.1.0.0/16"


def test_every_setting_says_why_and_what_is_allowed() -> None:
    for section, declared in all_declared().items():
        assert (section_types()[section].__doc__ or "").strip().endswith("."), section
        items = (
            declared.values() if "" not in declared else keys_of(section_types()[section], section).values()
        )
        for item in items:
            assert item.comment.endswith("."), item.where
            assert item.allowed, item.where


def test_no_line_is_too_long_to_read() -> None:
    assert max(map(len, CONF.read_text(encoding="utf-8").splitlines())) <= 100
