"""From a file and the environment to Settings, or to one fault that tells everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct

from acsmpd.settings.agreement import disagreements
from acsmpd.settings.declared import ENV_PREFIX, Declared, all_declared, keys_of, section_types
from acsmpd.settings.whole import Settings

DEFAULT_PATHS = (Path("/etc/acsmpd/acsmpd.toml"), Path("conf/acsmpd.toml"))
_FILE_MAX_BYTES = 1 << 20
_LIST_MAX = 1024


class SettingsFault(Exception):
    """The settings cannot be used; `faults` holds one sentence for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Given(NamedTuple):
    """A value as somebody wrote it; `text` = it comes from an environment variable of that name."""

    value: Any
    variable: str = ""


def find_config(argument: str | Path | None, defaults: Iterable[Path] = DEFAULT_PATHS) -> Path | None:
    """The file to read: the one asked for, else the first default that is there, else none.

    A default that is there but cannot be looked at is chosen too: reading it then tells why, where
    passing it over would silently run the box on other settings.
    """
    if argument is not None:
        return Path(argument)
    for path in defaults:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return path
        return path
    return None


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the file, overridden by ACSMPD_* variables; SettingsFault names every fault at once."""
    faults: list[str] = []
    tables = _read_tables(path, faults)
    reader = _Reader(faults)
    given = reader.gather(tables or {}, _overrides(environ, faults))
    settings = Settings(**{name: reader.section(name, values) for name, values in given.items()})
    if tables is not None:
        faults += disagreements(settings, frozenset(reader.spoilt))
    if faults:
        raise SettingsFault(faults)
    return settings


def _read_tables(path: Path | None, faults: list[str]) -> dict[str, Any] | None:
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_MAX_BYTES + 1)
        if len(content) > _FILE_MAX_BYTES:
            raise ValueError("it is larger than 1 MiB")
        tables: dict[str, Any] = msgspec.toml.decode(content)
    except OSError as error:
        faults.append(f"cannot read {path}: {error.strerror or error}")
    except UnicodeDecodeError as error:
        faults.append(f"cannot read {path}: it is not UTF-8 (byte {error.start})")
    except RecursionError:
        faults.append(f"cannot read {path}: it is nested too deeply")
    except ValueError as error:
        faults.append(f"cannot read {path}: {error}")
    else:
        return tables
    return None


def _overrides(environ: Mapping[str, str], faults: list[str]) -> dict[tuple[str, str], _Given]:
    known = {item.env: item for keys in all_declared().values() for item in keys.values()}
    found = {}
    for variable in sorted(name for name in environ if name.startswith(ENV_PREFIX)):
        item = known.get(variable)
        if item is None:
            near = did_you_mean(variable, known)
            faults.append(f"unknown variable {shown_key(variable)}: " + (near or "no setting has this name"))
            continue
        found[item.section, item.key] = _Given(environ[variable], variable)
    return found


class _Reader:
    """Judges values one by one; a bad one is told, spoilt, and stands in as its default."""

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self.spoilt: set[str] = set()

    def gather(
        self, tables: dict[str, Any], overrides: dict[tuple[str, str], _Given]
    ) -> dict[str, dict[str, _Given]]:
        """What was given for each section, the environment over the file."""
        given: dict[str, dict[str, _Given]] = {name: {} for name in all_declared()}
        for name, table in tables.items():
            if name not in given:
                self._faults.append(_unknown_section(name, table))
            elif "" in all_declared()[name]:
                given[name][""] = _Given(table)
            elif isinstance(table, dict):
                given[name] = {key: _Given(value) for key, value in table.items()}
            else:
                self._faults.append(f"{name} = {shown(table)}: must be a table, written [{name}]")
        for (name, key), value in overrides.items():
            given[name][key] = value
        return given

    def section(self, name: str, given: dict[str, _Given]) -> Any:
        declared = all_declared()[name]
        if "" in declared:
            return self._value(declared[""], given[""], name) if given else ()
        return section_types()[name](**self._members(declared, given, name, f"[{name}]"))

    def _members(
        self, declared: dict[str, Declared], given: dict[str, _Given], where: str, title: str
    ) -> dict[str, Any]:
        for key in [key for key in given if key not in declared]:
            self._spoil(where, f"unknown key {title} {shown_key(key)}: {_other_key(key, declared)}")
        found = {}
        for key, item in declared.items():
            if key in given:
                found[key] = self._value(item, given[key], f"{where}.{key}")
            elif item.default is NODEFAULT:
                self._spoil(where, f"{where}.{key} is missing: must be {item.allowed}")
        return found

    def _value(self, item: Declared, given: _Given, where: str) -> Any:
        if item.is_list:
            return self._items(item, given, where)
        return self._one(item, given, where)

    def _one(self, item: Declared, given: _Given, where: str) -> Any:
        try:
            value = msgspec.convert(given.value, type=item.kind, strict=not given.variable)
        except msgspec.ValidationError:
            value = None
        if value is not None and (item.check is None or item.check(value)):
            return value
        self._refuse(where, given, item.allowed)
        return item.default

    def _items(self, item: Declared, given: _Given, where: str) -> tuple[Any, ...]:
        values = _split(item, given)
        if not isinstance(values, list) or len(values) > _LIST_MAX:
            self._refuse_list(item, given, where)
            return ()
        found = []
        for index, value in enumerate(values):
            place, faults = f"{where}[{index}]", len(self._faults)
            made = self._table(item, value, place) if item.table else self._one(item, _Given(value), place)
            if len(self._faults) == faults:
                found.append(made)
            else:
                self.spoilt.add(where)
        return tuple(found)

    def _table(self, item: Declared, value: Any, where: str) -> Struct | None:
        if not isinstance(value, dict) or item.table is None:
            self._spoil(where, f"{where} = {shown(value)}: must be a table")
            return None
        faults = len(self._faults)
        given = {key: _Given(member) for key, member in value.items()}
        members = self._members(keys_of(item.table, where), given, where, where)
        return item.table(**members) if len(self._faults) == faults else None

    def _refuse(self, where: str, given: _Given, allowed: str) -> None:
        origin = f" (from {given.variable})" if given.variable else ""
        self._spoil(where, f"{where} = {shown(given.value)}{origin}: must be {allowed}")

    def _refuse_list(self, item: Declared, given: _Given, where: str) -> None:
        if item.table and given.variable:  # what was meant as JSON may hold what must not be printed
            fault = f"{where} (from {given.variable}): must be a JSON list of at most {_LIST_MAX} tables"
            self._spoil(where, fault)
            return
        form = f"tables, written [[{where}]]" if not item.key else f"entries, each {item.allowed}"
        self._refuse(where, given, f"a list of at most {_LIST_MAX} {form}")

    def _spoil(self, where: str, fault: str) -> None:
        self.spoilt.add(where)
        self._faults.append(fault)


def _split(item: Declared, given: _Given) -> Any:
    """A list as the environment writes it: commas between values, JSON for tables (None: unreadable)."""
    if not given.variable:
        return given.value
    if item.table is None:
        return [part.strip() for part in given.value.split(",") if part.strip()]
    try:
        return msgspec.json.decode(given.value) if given.value.strip() else []
    except (ValueError, RecursionError):
        return None


def _unknown_section(name: str, content: object) -> str:
    is_table = isinstance(content, (dict, list))
    if not is_table and name in _homes():
        return f"key {name} stands in no section: did you mean [{_homes()[name]}] {name}?"
    what = f"section [{shown_key(name)}]" if is_table else f"key {shown_key(name)} outside any section"
    near = did_you_mean(name, all_declared(), "[{}]")
    return f"unknown {what}: " + (near or "the sections are " + ", ".join(all_declared()))


def _other_key(key: str, declared: Mapping[str, Declared]) -> str:
    near = did_you_mean(key, declared)
    if not near and key in _homes():
        near = f"did you mean [{_homes()[key]}] {key}?"
    return near or "the keys here are " + ", ".join(declared)


def _homes() -> dict[str, str]:
    """For each key the first section that has it."""
    pairs = [(key, name) for name, keys in all_declared().items() for key in keys]
    return dict(reversed(pairs))


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str:
    """The question that names the nearest known word, or nothing."""
    import difflib  # here, since a file without a fault needs none of it

    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"did you mean {form.format(near[0])}?" if near else ""


def shown_key(key: str) -> str:
    """A key as it may be printed: short, on one line."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else shown(key)


def shown(value: object) -> str:
    """A value as it may be printed: short, on one line, without the password of an address."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)[:80]
    text = re.sub(r"//[^/@]*@", "//...@", value)
    return '"' + ascii(text)[1:-1][:80] + '"' if not text.isprintable() else f'"{text[:80]}"'
