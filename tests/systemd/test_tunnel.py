"""The way in for a platform above that cannot call the site, as docs/tunnel.md has it: the unit's own ssh command and a
real sshd, between two namespaces of the network."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.namespace import LINE, Network, Remote, network, run
from tests.support.wait import wait_until
from tests.systemd.test_unit import FOLDER, analyze

UNIT = FOLDER / "acsmpd-tunnel.service"
GUIDE = FOLDER.parent / "docs" / "tunnel.md"
SITE, IN, SSHD_PORT, PORT = "11010000005020000077", "10.98.0.1", 2222, 18907
EXPOSURE_MAX_TENTHS = 20


def test_the_unit_is_sound(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8")))
    done = analyze("verify", str(copy))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX_TENTHS}", str(copy))
    assert done.returncode == 0, done.stdout + done.stderr


def command(folder: Path, **values: str) -> list[str]:
    """ExecStart of the unit, with its files in a folder of the test's."""
    text = UNIT.read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = re.findall(r"(?m)^ExecStart=(.*)$", text)
    for name, value in values.items():
        line = line.replace(f"${{{name}}}", value)
    return shlex.split(line.replace("/etc/acsmpd/", f"{folder}/"))


@pytest.fixture
def line() -> Iterator[Network]:
    """The site lets nobody in over the line."""
    with network() as made:
        run("ip", "address", "add", f"{IN}/32", "dev", made.desk)
        made.inside("iptables", "-A", "INPUT", "-i", f"{made.line}p", "-p", "tcp", "--syn", "-j", "DROP")
        yield made


@pytest.fixture
def sshd(line: Network, tmp_path: Path) -> Iterator[Path]:
    """The centre's sshd with the block of the guide; the folder with the site's files."""
    for name in ("host", "tunnel_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name))
    known = (tmp_path / "host.pub").read_text().split()
    (tmp_path / "tunnel_hosts").write_text(f"[{LINE}.1]:{SSHD_PORT} {known[0]} {known[1]}\n")
    [block] = re.findall(r"(?s)```\n(Match User acsmpd-tunnel\n.*?)```", GUIDE.read_text(encoding="utf-8"))
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress {LINE}.1:{SSHD_PORT}\nHostKey {tmp_path}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"PermitRootLogin prohibit-password\nAuthorizedKeysFile {tmp_path}/tunnel_key.pub\n"
        + block.replace("acsmpd-tunnel", "root").replace("18707", str(PORT))
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with (tmp_path / "sshd.log").open("wb") as log:
        process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], stderr=log)
        try:
            wait_until(lambda: "listening" in (tmp_path / "sshd.log").read_text(), what="sshd")
            yield tmp_path
        finally:
            process.terminate()
            process.wait(timeout=10)


@contextlib.contextmanager
def tunnel(line: Network, folder: Path) -> Iterator[None]:
    words = command(
        folder, TUNNEL_PORT=str(SSHD_PORT), TUNNEL_TO=f"root@{LINE}.1", TUNNEL_LISTEN=f"{IN}:{PORT}",
        TUNNEL_LOCAL=f"127.0.0.1:{PORT}",
    )  # fmt: skip
    process = subprocess.Popen([*line.enter, *words])
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def state(city: Daemon) -> Any:
    shown = city.client.get(f"/ACSMP/Computility/{SITE}")
    return shown.data["State"] if shown.code == 0 else None


def test_a_site_nobody_can_call_is_called_through_its_tunnel(line: Network, sshd: Path) -> None:
    (sshd / "password").write_text("Site-Passw0rd-77")
    quick = {"ACSMPD_OBSERVE_INTERVAL_SECONDS": "1", "ACSMPD_WIRE_CONNECT_TIMEOUT_SECONDS": "1"}
    city = Daemon(sshd / "city", {"ACSMPD_SERVER_HOST": "0.0.0.0", **quick})
    above = {
        "url": city.url.replace("127.0.0.1", f"{LINE}.1"), "code": SITE, "type": "CAP", "username": "site",
        "password_file": str(sshd / "password"), "keepalive_seconds": 1,
    }  # fmt: skip
    advertise = [{"network": f"{LINE}.1/32", "url": f"http://{IN}:{PORT}"}]
    site = Remote(line, sshd / "site", {"ACSMPD_SITE_CODE": SITE})
    site._port = PORT
    site.also(upstream=json.dumps([above]), server_advertise=json.dumps(advertise))
    with ExitStack() as stack:
        for one in (city, site):
            stack.callback(one.stop)
            one.start()
        wait_until(lambda: state(city) == "unreachable", seconds=30, what="heard, and not to be called")
        with tunnel(line, sshd):
            wait_until(lambda: state(city) == "online", seconds=30, what="online through the tunnel")
            shown = city.client.fine("GET", f"/ACSMP/Computility/{SITE}")
            assert (shown["IP"], shown["Port"]) == (IN, PORT)
        wait_until(lambda: state(city) == "unreachable", seconds=30, what="the tunnel is down")
        with tunnel(line, sshd):
            wait_until(lambda: state(city) == "online", seconds=30, what="and up again")


def test_the_guide_lets_a_site_listen_nowhere_else(line: Network, sshd: Path) -> None:
    elsewhere = f"{IN}:{PORT + 1}"
    words = command(
        sshd, TUNNEL_PORT=str(SSHD_PORT), TUNNEL_TO=f"root@{LINE}.1", TUNNEL_LISTEN=elsewhere,
        TUNNEL_LOCAL="127.0.0.1:1",
    )  # fmt: skip
    done = subprocess.run([*line.enter, *words], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 255
    assert "remote port forwarding failed" in done.stderr
