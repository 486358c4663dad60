"""The pages as data: sections, fenced blocks, tables."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README, CONVENTIONS = ROOT / "README.md", ROOT / "docs" / "conventions.md"
FINGERPRINT = ROOT / "docs" / "fingerprint.md"
PAGES = (README, CONVENTIONS, FINGERPRINT)


def section(page: Path, title: str) -> str:
    """What stands under a heading, up to the next of its level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.M | re.S)
    assert found, f"{page.name} has no section {title}"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def rows(text: str, heads: str) -> list[list[str]]:
    """The cells of the table with these heads."""
    found = re.search(rf"^\| {re.escape(heads)} \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.M)
    assert found, f"no table {heads}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def commands(text: str) -> list[list[str]]:
    """Words of every `acsmpd ...` in sh blocks and in `...`, without what is put around it."""
    shell = "\n".join(blocks(text, "sh"))
    lines = [*re.findall(r"(?:^|\()acsmpd ([^)#\n]+)", shell, re.M), *re.findall(r"`acsmpd ([^`]+)`", text)]
    return [line.split() for line in lines]
