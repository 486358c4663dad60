"""The environment of an engine: built from nothing, ours where it must be ours."""

from __future__ import annotations

import pytest

from acsmpd import faults
from acsmpd.decide.environment import refused_names
from acsmpd.runtime.environment import engine_environment

DECLARED = {"LOG_LEVEL": "info", "MODEL": "small", "LD_LIBRARY_PATH": "/opt/sdk/lib"}


def test_nothing_in_gives_the_fixed_names_only() -> None:
    assert engine_environment(service_id="s1", port=20000, declared={}) == {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LOGNAME": "engine", "PORT": "20000", "XPU_TYPE": "",
        "XPU_INDEX": "", "CUDA_VISIBLE_DEVICES": "", "ACSMP_SERVICE_ID": "s1",
    }  # fmt: skip


def test_a_request_sets_declared_names_and_the_two_open_ones() -> None:
    asked = {"MODEL": "big", "LOG_LEVEL": "debug", "AUTH_SERVER_ADDR": "a:1", "OTHER": "x"}
    env = engine_environment(service_id="s1", port=1, declared=DECLARED, requested=asked)
    assert (env["MODEL"], env["LOG_LEVEL"], env["AUTH_SERVER_ADDR"]) == ("big", "debug", "a:1")
    assert env["LD_LIBRARY_PATH"] == "/opt/sdk/lib"
    assert "OTHER" not in env
    assert refused_names(DECLARED, asked) == ["OTHER"]


@pytest.mark.parametrize(
    "name",
    [
        "PORT",
        "PATH",
        "HOME",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "XPU_INDEX",
        "CUDA_X",
        "ACSMP_SERVICE_ID",
    ],
)
def test_a_request_never_sets_ours_even_when_declared(name: str) -> None:
    declared = {name: "of the package"}
    env = engine_environment(service_id="s1", port=1, declared=declared, requested={name: "evil"})
    assert "evil" not in env.values()
    assert refused_names(declared, {name: "evil"}) == [name]


@pytest.mark.parametrize(
    "name", ["PORT", "PATH", "HOME", "XPU_TYPE", "CUDA_VISIBLE_DEVICES", "ACSMP_SERVICE_ID"]
)
def test_a_package_never_sets_what_only_the_platform_knows(name: str) -> None:
    env = engine_environment(service_id="s1", port=1, declared={name: "of the package"})
    assert "of the package" not in env.values()


def test_cards_are_told_by_index_and_to_cuda_by_uuid_where_known() -> None:
    def told(uuids: list[str]) -> tuple[str, str, str]:
        env = engine_environment(
            service_id="s", port=1, declared={}, xpu_type="NVIDIA-A2", card_indexes=[0, 2], card_uuids=uuids
        )
        return env["XPU_TYPE"], env["XPU_INDEX"], env["CUDA_VISIBLE_DEVICES"]

    assert told(["GPU-a", "GPU-b"]) == ("NVIDIA-A2", "0,2", "GPU-a,GPU-b")
    assert told([]) == ("NVIDIA-A2", "0,2", "0,2")
    assert told(["GPU-a", ""]) == ("NVIDIA-A2", "0,2", "0,2")


def test_the_online_server_of_the_load_wins() -> None:
    env = engine_environment(
        service_id="s",
        port=1,
        declared={"AUTH_SERVER_ADDR": "p:1"},
        requested={"AUTH_SERVER_ADDR": "r:2"},
        auth_server="l:3",
    )
    assert env["AUTH_SERVER_ADDR"] == "l:3"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"A B": "x"}, "cannot set the environment variable 'A B': not a name"),
        ({"A": "x\0"}, "A: its value holds a NUL"),
    ],
)
def test_what_is_no_environment_is_refused(declared: dict[str, str], words: str) -> None:
    with pytest.raises(faults.InvalidField) as told:
        engine_environment(service_id="s", port=1, declared=declared)
    assert words in told.value.message
