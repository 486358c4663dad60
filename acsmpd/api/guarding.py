"""The header-time guard as this platform wants it: its tokens, its links, its disk."""

from __future__ import annotations

from acsmpd.api import access, answers
from acsmpd.api.audit import Audit
from acsmpd.api.call import Caller
from acsmpd.api.guard import Guard, caps_of
from acsmpd.api.platform import Platform
from acsmpd.security.tokens import Header


def make_guard(platform: Platform, audit: Audit) -> Guard:
    """A guard that knows who is calling before a byte of the body is taken."""

    def identify(header: Header, address: str) -> Caller | None:
        return access.identify(
            header, address, platform.credentials, platform.unknown_tokens, platform.clock.now()
        )

    return Guard(
        identify=identify,
        allow=access.allow,
        verify_result=lambda instance, signature: platform.signer.verify(signature, "result", instance),
        failure=lambda row, fault, request_id: answers.failure(platform, row, fault, request_id),
        data=platform.data,
        min_free_bytes=platform.settings.data.min_free_bytes,
        caps=caps_of(platform.settings),
        refused=lambda row, caller, fault, request_id: audit.note(row, caller, "", fault.code, request_id),
    )
