"""Devices as they register, each by a number; nothing listens at their ports, which is no fault of theirs."""

from __future__ import annotations

from typing import Any

from tests.support.site import Answer, Site
from tests.support.state import ask_from

ADMIN_PASSWORD = "correct horse battery"
DEVICE_PASSWORD = "Cad-Passw0rd-1"
WRONG_WORDS = "the username or the password is wrong"
REGISTER, KEEPALIVE = "/ACSMP/Register", "/ACSMP/Keepalive"


def code(number: int) -> str:
    return f"1101000000505000{number:04d}"


def registration(number: int, **more: Any) -> dict[str, Any]:
    """What a device says."""
    body = {
        "Code": code(number), "Type": "CAD", "IP": "127.0.0.1", "Port": 9, "Username": "cad",
        "Password": DEVICE_PASSWORD,
    }  # fmt: skip
    return {**body, **more}


def register(site: Site, number: int, address: str = "127.0.0.1", **more: Any) -> Answer:
    return ask_from(address, site, "POST", REGISTER, registration(number, **more))


def keepalive(site: Site, number: int, token: str | None = None, address: str = "127.0.0.1") -> Answer:
    return ask_from(address, site, "POST", KEEPALIVE, {"Code": code(number)}, token=token)


def registered(site: Site, number: int, address: str = "127.0.0.1") -> str:
    """The token of a device that is registered now."""
    answer = register(site, number, address)
    assert answer.code == 0, answer
    return str(answer.data["Token"])


def device(site: Site, number: int) -> dict[str, Any]:
    found: dict[str, Any] = site.client.fine("GET", f"/ACSMP/Computility/{code(number)}")
    return found


def alarms(site: Site, kind: str) -> list[dict[str, Any]]:
    page: dict[str, Any] = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": kind})
    return list(page["PageContent"])


def tampered(ciphertext: str, start: int) -> str:
    """The same with another digit there."""
    digit = "0" if ciphertext[start] != "0" else "1"
    return ciphertext[:start] + digit + ciphertext[start + 1 :]
