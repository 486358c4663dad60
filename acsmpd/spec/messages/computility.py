"""Computilities: how they register (tables 40-42) and how they are shown (tables 43-44)."""

from __future__ import annotations

from msgspec import field

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.monitoring import DeviceInfo
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import (
    Code20,
    ComputilityType,
    DateTime,
    Int64,
    Port,
    Text32,
    Text45,
    Text256,
    Text1024,
)


class RegisterRequest(Message, kw_only=True):
    """Table B.1. IPv6 fits; Password holds an SM2 ciphertext; CCP is accepted, not offered."""

    code: Code20
    type: ComputilityType
    ip: Text45
    port: Port
    username: Text32
    password: Text1024
    support_algo_service: bool | None = None


class TokenData(Message, kw_only=True):
    """Table B.3."""

    token: Text256


class RegisterResponse(Envelope, kw_only=True):
    """Table B.2. Data always answers a registration; a keepalive only when the token is renewed."""

    data: TokenData | None = None


class UnRegisterRequest(Message, kw_only=True):
    """Table B.4; Password in whatever form the registration used."""

    code: Code20
    username: Text32
    password: Text1024


class KeepaliveRequest(Message, kw_only=True):
    """Table B.5."""

    code: Code20


class ComputilityListRequest(Message, kw_only=True):
    """Table G.1. PageRequest may be absent; GET takes the same filters, flat, as query parameters."""

    computility_code: Code20 | None = None
    type: ComputilityType | None = None
    page_request: ApiPageRequest | None = None


class ComputilityInfo(Message, kw_only=True):
    """Table G.4. Type and the state with its reason are ours (conventions section 11)."""

    computility_code: Code20 | None = None
    device_infos: list[DeviceInfo]
    type: ComputilityType | None = None
    name: str | None = None
    state: str | None = None
    state_since: DateTime | None = None
    reason: str | None = None


class ComputilityPageResponse(Message, kw_only=True):
    """Table G.3. The paging block is written twice: as the table misprints it and as the example has it."""

    page_content: list[ComputilityInfo]
    page_reqest: ApiPageRequest = field(name="PageReqest")
    total: Int64
    total_pages: Int64
    page_request: ApiPageRequest | None = None


class ComputilityListResponse(Envelope, kw_only=True):
    """Table G.2."""

    data: ComputilityPageResponse
