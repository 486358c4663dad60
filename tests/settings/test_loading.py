"""Reading settings: the file, the environment over it, and every fault at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.settings import Settings, SettingsFault, find_config, load
from acsmpd.settings.declared import Declared, all_declared
from acsmpd.settings.values import system_zone

CODE = "34020000005020000001"
ZONE = "must be empty, or a time zone this system knows, such as Asia/Shanghai"
PREFIX = "must be a path such as /CAD without a slash at its end"
SECONDS = "must be a number from 0.05 to 86400"
UPSTREAM = {"url": "http://10.0.0.1:8750", "type": "CAP", "username": "u", "password_file": "/etc/p"}


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "acsmpd.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsFault) as caught:
        load(path, environ or {})
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def one_fault(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    faults = faults_of(write(folder, text), environ)
    assert len(faults) == 1, faults
    return faults[0]


def test_without_a_file_all_is_default() -> None:
    settings = load(None, {"PATH": "/bin", "ACSMP_OTHER": "1"})
    assert settings == Settings()
    assert (settings.server.host, settings.server.port, settings.data.dir) == ("127.0.0.1", 8750, "./var")
    assert settings.site_code == "11000000005020000000"
    assert settings.site_code_is_default
    assert settings.server.is_loopback


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    path = write(
        tmp_path, f'[site]\ncode = "{CODE}"\n[server]\nport = 9000\nthreads = 8\n[engine]\ntick_seconds = 2\n'
    )
    settings = load(path, {"ACSMPD_SERVER_PORT": "9001", "ACSMPD_ENGINE_LANES": "3"})
    assert (settings.server.port, settings.server.threads, settings.engine.lanes) == (9001, 8, 3)
    assert settings.engine.tick_seconds == 2.0
    assert settings.site_code == CODE
    assert not settings.site_code_is_default


def test_a_bad_value_in_the_file_does_not_matter_once_overridden(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nport = 0\n")
    assert load(path, {"ACSMPD_SERVER_PORT": "80"}).server.port == 80


def test_lists_in_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, '[egress]\nallow = ["old:1"]\n')
    environ = {
        "ACSMPD_EGRESS_ALLOW": " 127.0.0.1:* , box:80,",
        "ACSMPD_SERVER_ADVERTISE": json.dumps([{"network": "10.0.0.0/8", "url": "http://10.1.1.1:8750"}]),
        "ACSMPD_UPSTREAM": json.dumps([UPSTREAM]),
        "ACSMPD_SITE_CODE": CODE,
    }
    settings = load(path, environ)
    assert settings.egress.allow == ("127.0.0.1:*", "box:80")
    assert settings.server.advertise[0].url == "http://10.1.1.1:8750"
    assert (settings.upstream[0].username, settings.upstream[0].keepalive_seconds) == ("u", 30)


def test_empty_lists_in_the_environment_take_the_files_away(tmp_path: Path) -> None:
    path = write(tmp_path, '[egress]\nallow = ["old:1"]\n[[upstream]]\nurl = "bad"\n')
    settings = load(path, {"ACSMPD_EGRESS_ALLOW": "", "ACSMPD_UPSTREAM": ""})
    assert (settings.egress.allow, settings.upstream) == ((), ())


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_truth_values_in_the_environment(text: str, value: bool) -> None:
    assert load(None, {"ACSMPD_METRICS_OPEN": text}).metrics.open is value


def test_every_fault_is_told_at_once_with_name_value_and_allowed(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[server]\nprot = 1\nport = 99999\nhost = "a b"\n[servr]\nx = 1\n[log]\nlevel = "loud"\n'
        '[api]\nalways_200 = "yes"\n[egress]\nallow = ["a:1", "b"]\n[tokens]\ncomputility_hours = 1.5\n',
    )
    assert faults_of(path, {"ACSMPD_SERVER_PROT": "1", "ACSMPD_WIRE_READ_TIMEOUT_SECONDS": "nan"}) == [
        "unknown variable ACSMPD_SERVER_PROT: did you mean ACSMPD_SERVER_PORT?",
        "unknown section [servr]: did you mean [server]?",
        "unknown key [server] prot: did you mean port?",
        'server.host = "a b": must be an IP address or a host name',
        "server.port = 99999: must be a whole number from 1 to 65535",
        'log.level = "loud": must be one of debug, info, warning, error',
        'api.always_200 = "yes": must be true or false',
        "tokens.computility_hours = 1.5: must be a whole number from 1 to 87600",
        'egress.allow[1] = "b": must be host:port or host:*',
        f'wire.read_timeout_seconds = "nan" (from ACSMPD_WIRE_READ_TIMEOUT_SECONDS): {SECONDS}',
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[server]\ndir = 1", "unknown key [server] dir: did you mean [data] dir?"),
        ("[metrics]\nqqq = 1", "unknown key [metrics] qqq: the keys here are open"),
        ("port = 1", "key port stands in no section: did you mean [server] port?"),
        ("serve = 1", "unknown key serve outside any section: did you mean [server]?"),
        ("server = 1", "server = 1: must be a table, written [server]"),
        ("[[server]]\nport = 1", "server = a list of 1: must be a table, written [server]"),
        (
            f"[site]\ncode = '{CODE}'\n[upstream]\nurl = 1",
            "upstream = a table: must be a list of at most 1024 tables, written [[upstream]]",
        ),
        (
            "[egress]\nallow = 'a:1'",
            'egress.allow = "a:1": must be a list of at most 1024 entries, each host:port or host:*',
        ),
        ("[egress]\nallow = [[]]", "egress.allow[0] = a list of 0: must be host:port or host:*"),
        ("[server]\nadvertise = [1]", "server.advertise[0] = 1: must be a table"),
        ("[api]\nalways_200 = 1", "api.always_200 = 1: must be true or false"),
        ("[server]\nport = true", "server.port = true: must be a whole number from 1 to 65535"),
        ("[server]\nport = 1e3", "server.port = 1000.0: must be a whole number from 1 to 65535"),
        ("[wire]\nread_timeout_seconds = nan", f"wire.read_timeout_seconds = nan: {SECONDS}"),
        ("[site]\ncode = '123'", 'site.code = "123": must be 20 digits, or empty'),
        (f"[site]\ncode = '''{CODE}\n'''", f'site.code = "{CODE}\\n": must be 20 digits, or empty'),
        ("[site]\ntimezone = 'Mars/Base'", f'site.timezone = "Mars/Base": {ZONE}'),
        ("[site]\ntimezone = 2026-01-01", f"site.timezone = 2026-01-01: {ZONE}"),
        ("[facade]\nedge_prefix = '/CAD/'", f'facade.edge_prefix = "/CAD/": {PREFIX}'),
        (
            "[runtime]\nmemory_max_bytes = 1",
            "runtime.memory_max_bytes = 1: must be bytes, from 16 MiB to 1 PiB",
        ),
        ("[runtime]\nuser = 'a b'", 'runtime.user = "a b": must be a user name of this system, or empty'),
        (
            "[runtime]\nread_only_paths = ['/opt', 'opt']",
            'runtime.read_only_paths[1] = "opt": must be an absolute path',
        ),
        ("[data]\ndir = ''", 'data.dir = "": must be a path'),
        (
            "[licences]\nquota_path = 'http://x'",
            'licences.quota_path = "http://x": must be a path that begins with / and holds {AlgoDefCode} once',
        ),
        ('[log]\n"a b\\n" = 1', 'unknown key [log] "a b\\n": the keys here are format, level'),
    ],
)
def test_one_bad_thing_one_clear_sentence(tmp_path: Path, text: str, fault: str) -> None:
    assert one_fault(tmp_path, text) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "[runtime]\nport_from = 100\nport_to = 99",
            "runtime.port_from = 100: must not be over runtime.port_to = 99",
        ),
        (
            "[computility]\nlost_seconds = 90",
            "computility.suspect_seconds = 100: must not be over computility.lost_seconds = 90",
        ),
        (
            "[engine]\nbackoff_max_seconds = 1",
            "engine.backoff_first_seconds = 2: must not be over engine.backoff_max_seconds = 1",
        ),
        ("[engine]\nlanes = 1", "engine.lanes_per_device = 2: must not be over engine.lanes = 1"),
        (
            "[probes]\ninterval_seconds = 1",
            "probes.deadline_seconds = 3: must not be over probes.interval_seconds = 1",
        ),
        (
            "[results]\npictures_max_bytes = 5",
            "results.picture_max_bytes = 8388608: must not be over results.pictures_max_bytes = 5",
        ),
        (
            "[enrolment]\npending_max = 4",
            "enrolment.pending_per_address = 5: must not be over enrolment.pending_max = 4",
        ),
        (
            "[server]\nport = 18750",
            "server.port = 18750: must lie outside the ports of engines, 18700 to 18799",
        ),
        ("[server]\nmax_waiters = 16", "server.max_waiters = 16: must be below server.threads = 16"),
        (
            "[server]\nhost = '0.0.0.0'",
            'site.code = "": must be set (20 digits), because server.host = "0.0.0.0" is not loopback',
        ),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, text: str, fault: str) -> None:
    assert one_fault(tmp_path, text) == fault


def test_a_spoilt_value_is_told_once_and_not_compared(tmp_path: Path) -> None:
    assert one_fault(tmp_path, "[server]\nthreads = 'x'\nmax_waiters = 200").startswith("server.threads = ")
    assert one_fault(tmp_path, "[server]\nhost = '0.0.0.0 '").startswith("server.host = ")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost."])
def test_a_loopback_box_needs_no_code(host: str) -> None:
    assert load(None, {"ACSMPD_SERVER_HOST": host}).server.is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "box.example"])
def test_a_box_others_can_reach_needs_a_code(host: str) -> None:
    assert "site.code" in faults_of(None, {"ACSMPD_SERVER_HOST": host})[0]
    settings = load(None, {"ACSMPD_SERVER_HOST": host, "ACSMPD_SITE_CODE": CODE})
    assert settings.site_code == CODE
    assert not settings.server.is_loopback


def test_an_upstream_needs_a_code_of_ours_and_no_place_twice() -> None:
    environ = {"ACSMPD_UPSTREAM": json.dumps([UPSTREAM])}
    assert faults_of(None, environ) == ['site.code = "": must be set (20 digits), because an upstream is set']
    twice = {"ACSMPD_UPSTREAM": json.dumps([UPSTREAM, UPSTREAM]), "ACSMPD_SITE_CODE": CODE}
    assert faults_of(None, twice) == [
        "upstream[1].code: stands twice at http://10.0.0.1:8750; give each its own"
    ]
    apart = [UPSTREAM, {**UPSTREAM, "type": "CAD", "code": "34020000005050000001"}]
    assert len(load(None, {**twice, "ACSMPD_UPSTREAM": json.dumps(apart)}).upstream) == 2


def test_what_an_upstream_lacks_is_named(tmp_path: Path) -> None:
    text = f'[site]\ncode = "{CODE}"\n[[upstream]]\nurl = "http://a"\ntype = "CCP"\nkeepalive_seconds = 91\n'
    assert faults_of(write(tmp_path, text)) == [
        'upstream[0].type = "CCP": must be one of CAP, CAD, AI_BOX',
        "upstream[0].username is missing: must be 1 to 128 characters on one line",
        "upstream[0].password_file is missing: must be a path",
        "upstream[0].keepalive_seconds = 91: must be a number from 0.05 to 90",
    ]


def test_no_fault_repeats_a_password(tmp_path: Path) -> None:
    upstream = '[[upstream]]\nurl = "http://u:hunter2@h"\npassword = "hunter2"\ntype = "CAP"\n'
    text = f'[site]\ncode = "{CODE}"\n{upstream}'
    told = faults_of(write(tmp_path, text))
    assert 'upstream[0].url = "http://...@h"' in told[1]
    broken = faults_of(None, {"ACSMPD_UPSTREAM": '[{"password": "hunter2"', "ACSMPD_HUNTER": "hunter2"})
    assert broken[1] == "upstream (from ACSMPD_UPSTREAM): must be a JSON list of at most 1024 tables"
    assert "hunter2" not in "\n".join(told + broken)


def test_values_are_shown_short_and_on_one_line() -> None:
    long = faults_of(None, {"ACSMPD_SERVER_HOST": "x " * 5000})[0]
    assert len(long) < 200
    assert faults_of(None, {"ACSMPD_SERVER_HOST": "a\nb\x1b[0m"})[0].startswith(
        'server.host = "a\\nb\\x1b[0m" (from'
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[server", "Expected"),
        (b"[server]\nport = 1\nport = 2", "overwrite"),
        (b"\xff\xfe", "it is not UTF-8 (byte 0)"),
        (b"#" * (1 << 20) + b"#", "it is larger than 1 MiB"),
        (b"a = " + b"[" * 100_000, "nest"),
    ],
)
def test_a_file_that_is_no_toml_is_one_fault_beside_the_environments(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = write(tmp_path, content)
    faults = faults_of(path, {"ACSMPD_SERVER_PORT": "x", "ACSMPD_SERVER_HOST": "0.0.0.0"})
    assert faults[0].startswith(f"cannot read {path}: ")
    assert reason in faults[0]
    assert [fault.partition(" ")[0] for fault in faults[1:]] == ["server.port"]


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    gone = tmp_path / "gone.toml"
    assert faults_of(gone) == [f"cannot read {gone}: No such file or directory"]
    assert faults_of(tmp_path) == [f"cannot read {tmp_path}: Is a directory"]


def test_the_file_that_is_read(tmp_path: Path) -> None:
    first, second = tmp_path / "etc" / "acsmpd.toml", tmp_path / "acsmpd.toml"
    assert find_config(None, (first, second)) is None
    second.touch()
    assert find_config(None, (first, second)) == second
    first.parent.mkdir()
    first.touch()
    assert find_config(None, (first, second)) == first
    assert find_config("asked.toml", (first, second)) == Path("asked.toml")


def test_a_default_that_cannot_be_looked_at_is_not_passed_over(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)  # stat says ELOOP, for root too
    assert find_config(None, (loop, tmp_path)) == loop
    assert "cannot read" in faults_of(loop)[0]


def scalars() -> list[Declared]:
    return [item for keys in all_declared().values() for item in keys.values() if not item.is_list]


def test_every_variable_is_one_setting() -> None:
    names = [item.env for keys in all_declared().values() for item in keys.values()]
    assert len(names) == len(set(names)) > 70
    assert {"ACSMPD_SERVER_HOST", "ACSMPD_SERVER_PORT", "ACSMPD_DATA_DIR", "ACSMPD_UPSTREAM"} <= set(names)


@pytest.mark.parametrize("item", scalars(), ids=lambda item: item.where)
def test_each_setting_is_read_from_its_variable_and_refused_with_its_name(item: Declared) -> None:
    default = str(item.default).lower() if isinstance(item.default, bool) else str(item.default)
    assert load(None, {item.env: default}) == Settings()
    bad = "\x00\x07 no" if isinstance(item.default, str) else "no"
    (fault,) = faults_of(None, {item.env: bad})
    assert fault.startswith(f"{item.where} = ")
    assert fault.endswith(f"(from {item.env}): must be {item.allowed}")


@given(st.dictionaries(st.sampled_from([item.env for item in scalars()]), st.text(max_size=30), max_size=6))
def test_no_text_in_the_environment_gets_anything_but_settings_or_faults(environ: dict[str, str]) -> None:
    try:
        told = [load(None, environ).site_code]
    except SettingsFault as fault:
        told = fault.faults
    assert told
    assert all(text.isprintable() for text in told)


def test_bytes_that_are_no_text_are_refused() -> None:
    assert faults_of(None, {"ACSMPD_SITE_NAME": os.fsdecode(b"\xff")})[0].startswith('site.name = "\\udcff"')


def test_what_is_derived() -> None:
    settings = load(None, {"ACSMPD_SITE_TIMEZONE": "Asia/Shanghai", "ACSMPD_SERVER_THREADS": "9"})
    assert settings.site.zone.key == "Asia/Shanghai"
    assert settings.server.waiters == 4
    assert load(None, {"ACSMPD_SERVER_MAX_WAITERS": "3"}).server.waiters == 3
    assert settings.data.path == Path("./var")
    assert Settings().site.zone == system_zone()
