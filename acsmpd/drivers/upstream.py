"""Speaks to a platform above as one of its facilities: Part 5 tables 40-42 and its public key, over wire."""

from __future__ import annotations

from acsmpd.faults import Permanent, Temporary
from acsmpd.model import Peer
from acsmpd.security.sm2 import BadPublicKey, parse_public_key
from acsmpd.spec.messages.computility import KeepaliveRequest, RegisterRequest, UnRegisterRequest
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import NoSuchPage, TokenRefused
from acsmpd.wire.caller import Wire


class Upstream:
    """The calls. Every failure is a StepFault of acsmpd.faults or acsmpd.wire.answer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def public_key(self, peer: Peer) -> str | None:
        """The platform's SM2 key as 130 digits; None from one that hands out none (it is our extension).

        Temporary when it could not be asked: nobody may take that for "none" and send plain text.
        """
        try:
            data = self._wire.call(BY_ID["acsmp.public_key"], peer)
        except (Permanent, NoSuchPage, TokenRefused):
            return None
        text = getattr(data, "public_key", None)
        if not text:
            return None
        try:
            return parse_public_key(str(text))
        except BadPublicKey as bad:
            raise Permanent(f"{peer.code}: {bad}") from bad

    def register(self, peer: Peer, message: RegisterRequest) -> str:
        """The token of a registration."""
        try:
            data = self._wire.call(BY_ID["acsmp.register_compute"], peer, message)
        except TokenRefused as refused:
            raise Permanent(f"{peer.code} refuses the user name or the password (HTTP 401)") from refused
        token = getattr(data, "token", None)
        if not token:
            raise Temporary(f"{peer.code} answered the registration without a token")
        return str(token)

    def keepalive(self, peer: Peer, code: str) -> str | None:
        """A new token, if the platform gives one."""
        data = self._wire.call(BY_ID["acsmp.keepalive_compute"], peer, KeepaliveRequest(code=code))
        token = getattr(data, "token", None)
        return str(token) if token else None

    def unregister(self, peer: Peer, message: UnRegisterRequest) -> None:
        self._wire.call(BY_ID["acsmp.unregister_compute"], peer, message)
