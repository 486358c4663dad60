"""Computilities, their tokens, claims, and what is not ours on them."""

from __future__ import annotations

from acsmpd.model import Family
from acsmpd.store import devices
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Claim
from tests.store.rows import CODE, NOW, OTHER, add_device


def roles(tx: Tx, code: str = CODE) -> dict[str, str]:
    return {row["hash"]: row["role"] for row in devices.tokens(tx, code)}


def test_put_makes_a_record_and_changes_one_that_is_there(store: Store) -> None:
    with store.write() as tx:
        add_device(tx)
        devices.put(tx, CODE, NOW + 9, name="gate")
        devices.put(tx, OTHER, NOW + 9, type="AI_CAMERA", family="direct", support_services=False)
        devices.change(tx, OTHER, capabilities=["INTRUSION"])
        row = devices.get(tx, CODE)
        assert row is not None
        assert (row["name"], row["type"], row["created_ms"]) == ("gate", "CAD", NOW)
        camera = devices.device(tx, OTHER)
        assert camera is not None
        assert (camera.family, camera.state, camera.capabilities) == (Family.DIRECT, "offline", ["INTRUSION"])
        assert set(devices.all_devices(tx)) == {row["code"] for row in devices.all_rows(tx)} == {CODE, OTHER}
        assert devices.get(tx, "none") is None
        assert devices.device(tx, "none") is None


def test_a_device_as_decisions_see_it_holds_no_secret(store: Store) -> None:
    with store.write() as tx:
        add_device(tx, password_sealed="1.secret", username="u")
        found = devices.device(tx, CODE)
    assert "secret" not in repr(found)


def test_a_registration_voids_every_older_token(store: Store) -> None:
    with store.write() as tx:
        devices.set_current(tx, CODE, "h1", "s1", NOW)
        devices.add_next(tx, CODE, "h2", "s2", NOW)
        devices.set_current(tx, OTHER, "x", "sx", NOW)
        devices.set_current(tx, CODE, "h3", "s3", NOW)
        assert roles(tx) == {"h3": "current"}
        assert roles(tx, OTHER) == {"x": "current"}
        assert len(devices.tokens(tx)) == 2


def test_renewal_stands_beside_until_it_is_used(store: Store) -> None:
    with store.write() as tx:
        devices.set_current(tx, CODE, "h1", "s1", NOW)
        devices.add_next(tx, CODE, "h2", "s2", NOW)
        devices.add_next(tx, CODE, "h3", "s3", NOW)  # a newer offer takes the place of the one before
        assert roles(tx) == {"h1": "current", "h3": "next"}
        devices.next_was_used(tx, CODE, NOW + 10, NOW + 300)
        assert roles(tx) == {"h1": "old", "h3": "current"}
        old, new = devices.token(tx, "h1"), devices.token(tx, "h3")
        assert old is not None
        assert new is not None
        assert (old["dies_ms"], new["used_ms"], new["dies_ms"]) == (NOW + 300, NOW + 10, None)
        devices.add_next(tx, CODE, "h4", "s4", NOW)
        devices.next_was_used(tx, CODE, NOW + 20, NOW + 400)
        assert roles(tx) == {"h3": "old", "h4": "current"}
        devices.revoke_tokens(tx, CODE)
        assert roles(tx) == {}
        assert devices.token(tx, "h4") is None


def test_claims_of_one_code_stand_side_by_side(store: Store) -> None:
    def claim(tx: Tx, code: str, address: str) -> None:
        tx.run(
            Claim.insert(
                code=code, address=address, type="CAD", ip=address, port=80, username="u", password_sealed="1.x",
                support_services=True, created_ms=NOW, seen_ms=NOW,
            )
        )  # fmt: skip

    with store.write() as tx:
        for code, address in ((CODE, "10.0.0.1"), (CODE, "10.0.0.2"), (OTHER, "10.0.0.3")):
            claim(tx, code, address)
        assert [row["address"] for row in devices.claims(tx, CODE)] == ["10.0.0.1", "10.0.0.2"]
        assert devices.drop_claims(tx, Claim.code == CODE, Claim.address == "10.0.0.2") == 1
        assert [row["address"] for row in devices.claims(tx)] == ["10.0.0.1", "10.0.0.3"]


def test_what_a_computility_was_seen_to_be_is_not_read_where_it_does_not_matter(store: Store) -> None:
    """All devices are read several times in every pass: what none of that looks at may be long."""
    with store.write() as tx:
        add_device(tx, location={"Text": "city"}, maintenance=True)
        tx.sql("UPDATE computility SET info = 'what no JSON is'")
        seen = [devices.device(tx, CODE), devices.all_devices(tx)[CODE], *devices.some(tx, [CODE])]
    assert seen == [seen[0]] * 3
    assert seen[0] is not None
    assert (seen[0].location, seen[0].maintenance) == ({"Text": "city"}, True)
