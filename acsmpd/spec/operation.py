"""One row of the standard as data. Nothing runs here; see spec/tables.py for the rows.

From one table of Operations come: Flask routes, validation, access control, audit rows, the OpenAPI
document, the outgoing client, the fake devices of the tests and the conformance checker.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

MIB = 1024 * 1024


class Face(str, Enum):
    """Which face of the standard a row belongs to."""

    ACSMP = "ACSMP"
    CAD = "CAD"
    CAP = "CAP"
    CCP = "CCP"
    PLAIN = "PLAIN"  # outside the standard: /healthz, /readyz, /openapi.json


class Access(str, Enum):
    """Who may call a row (conventions section 2)."""

    OPEN = "open"  # nobody is asked
    CREDENTIALS = "credentials"  # the body carries its own (Register, UnRegister, Login)
    KEEPALIVE = "keepalive"  # a computility token, or none from the registered address
    LINK = "link"  # the signed address is the right
    RESULT = "result"  # a signed address (results receiver)
    READ = "read"  # viewer, operator, system_admin
    OPERATE = "operate"  # operator: every change of tables 7-28, results
    ADMIN = "admin"  # system_admin
    SECURITY = "security"  # security_admin: users, roles, keys
    AUDIT = "audit"  # audit_admin: logs
    PACKAGES = "packages"  # the right `packages`: importing is running code
    FACE = "face"  # this box: the token of an upstream we are a CAD of, or a person with `federation`
    SITE_FACE = "site_face"  # the site as a whole: that of one we are a CAP of, or such a person
    SELF = "self"  # any person: Logout, own password


class Operation(Struct, frozen=True, kw_only=True):
    """One row: an interface of the standard, or an extension of ours.

    `id` is unique over all faces ("acsmp.create_task"); `table` is the printed interface table.
    `uri` holds placeholders as printed ("/ACSMP/Tasks/<ID>"); `path` gives each its scalar type.
    `aliases` are further (method, uri) pairs that answer the same (contract `resolve:` lines).
    Two rows on one method + URI carry a discriminator: `when_body_has` names a member of the JSON
    body that must be there (True) or absent (False); `when_content_type` a media type.
    """

    id: str
    face: Face
    table: int | None
    method: str
    uri: str
    request: type | None
    response: type
    access: Access
    path: dict[str, Any] = {}
    aliases: tuple[tuple[str, str], ...] = ()
    when_body_has: tuple[str, bool] | None = None
    when_content_type: str | None = None
    served: bool = False
    called: bool = False
    planned: bool = False
    extension: bool = False
    wait: bool = False  # takes ?Wait=SECONDS (conventions section 10)
    audit: str = "always"  # always | counted
    body_cap: int = MIB  # bytes
    code_as_string: bool = False  # Part 4 B, C, E-G write Code as a string
    request_id_key: str = "RequestID"
    summary: str = ""
    note: str = ""  # our reading of the print, where it needs one
