"""What a container is made with, as a value; that the walls hold is shown on real engines beside this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acsmpd.faults import Conflict
from acsmpd.runtime.values import EngineSpec, RuntimeSettings
from acsmpd.runtime.walls import ImageConfig, Walled, container_body

CARDS = (Path("/dev/nvidia0"), Path("/dev/nvidiactl"))


def body(
    image: ImageConfig | None = None, *, podman: bool = False, home: bool = True, **more: Any
) -> dict[str, Any]:
    settings = RuntimeSettings(data_dir=Path("/data"))
    spec = EngineSpec(
        load_id="L1", image="sha256:1", work=Path("/w"), log=Path("/l"),
        **{"argv": ("run",), "env": {"PORT": "1"}, **more},
    )  # fmt: skip
    walled = Walled(
        settings=settings, home=Path("/data/h") if home else None, license=more.get("license_path")
    )
    return container_body(spec, walled, image or ImageConfig(), "me", podman=podman)


@pytest.mark.parametrize(
    ("image", "more", "entrypoint", "cmd"),
    [
        (ImageConfig(entrypoint=["own"], cmd=["its"]), {"argv": ("run", "it")}, ["run"], ["it"]),
        (
            ImageConfig(entrypoint=["own"], cmd=["its"]),
            {"argv": ("--x",), "append": True},
            None,
            ["its", "--x"],
        ),
        (ImageConfig(entrypoint=["own"]), {"argv": (), "append": True}, None, []),
        (ImageConfig(cmd=["its"]), {"argv": (), "append": True}, None, ["its"]),
    ],
)
def test_the_packages_command_takes_the_place_of_the_images_and_a_loads_words_follow(
    image: ImageConfig, more: dict[str, Any], entrypoint: list[str] | None, cmd: list[str]
) -> None:
    made = body(image, **more)
    assert (made["Entrypoint"], made["Cmd"]) == (entrypoint, cmd)


def test_an_image_without_any_command_is_refused() -> None:
    with pytest.raises(Conflict, match=r"neither algo_runtime\.cmd nor its image has a command"):
        body(argv=(), append=True)


def test_what_the_image_says_of_path_and_language_holds_and_nothing_else_of_ours_gives_way() -> None:
    own = {"PATH": "/usr/bin", "LANG": "C.UTF-8", "PORT": "1"}
    made = body(ImageConfig(env=["PATH=/opt", "PORT=9", "HOME=/root"]), env=own)["Env"]
    assert sorted(made) == ["HOME=/var/log/acsmpd", "LANG=C.UTF-8", "PORT=1", "TMPDIR=/tmp"]


def test_volumes_of_the_image_are_bounded_and_few() -> None:
    host = body(
        ImageConfig(volumes={"/data/": {}, "//more/../x/.": {}, "/tmp": {}, "/run/acsmpd/license/": {}})
    )
    host = host["HostConfig"]
    assert sorted(host["Tmpfs"]) == ["/data", "/tmp", "/x"]
    assert all("size=67108864" in options for options in host["Tmpfs"].values())
    with pytest.raises(Conflict, match="17 volumes"):
        body(ImageConfig(volumes={f"/{number}": {} for number in range(17)}))


@pytest.mark.parametrize("place", ["data", "", "/", "//", "/a/.."])
def test_a_volume_that_an_engine_would_make_elsewhere_without_a_bound_is_refused(place: str) -> None:
    with pytest.raises(Conflict, match="no absolute path of a folder"):
        body(ImageConfig(volumes={place: {}}))


def test_without_a_folder_of_its_own_home_is_in_memory() -> None:
    host = body(home=False)["HostConfig"]
    assert host["Mounts"] == []
    assert "/var/log/acsmpd" in host["Tmpfs"]


def test_a_licence_is_mounted_read_only_and_named() -> None:
    made = body(license_path=Path("/data/licence"), env={"AUTH_SERVER_ADDR": "/data/licence"})
    [licence, home] = made["HostConfig"]["Mounts"]
    assert licence == {
        "Type": "bind",
        "Source": "/data/licence",
        "Target": "/run/acsmpd/license",
        "ReadOnly": True,
    }
    assert (home["Target"], home["ReadOnly"]) == ("/var/log/acsmpd", False)
    assert "AUTH_SERVER_ADDR=/run/acsmpd/license" in made["Env"]


def test_cards_are_asked_of_docker_by_uuid_and_of_podman_as_devices() -> None:
    made = body(devices=CARDS, card_uuids=("GPU-1",))["HostConfig"]
    assert made["DeviceRequests"] == [{"Driver": "nvidia", "DeviceIDs": ["GPU-1"], "Capabilities": [["gpu"]]}]
    assert "Devices" not in made
    made = body(devices=CARDS, card_uuids=("GPU-1",), podman=True)["HostConfig"]
    assert [one["PathOnHost"] for one in made["Devices"]] == [str(path) for path in CARDS]
    assert body(devices=CARDS)["HostConfig"]["Devices"][0]["CgroupPermissions"] == "rw"
