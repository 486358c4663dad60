"""Extensions that are named (conventions section 10) and answer 50100 until they are served."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import Access, Face, Operation
from acsmpd.spec.scalars import Code20, PathName

_READ, _OPERATE, _ADMIN = Access.READ, Access.OPERATE, Access.ADMIN
_SECURITY, _AUDIT = Access.SECURITY, Access.AUDIT

# (id, method, path under /ACSMP, who)
_NAMED: tuple[tuple[str, str, str, Access], ...] = (
    ("list_users", "GET", "Users", _SECURITY),
    ("create_user", "POST", "Users", _SECURITY),
    ("get_user", "GET", "Users/<Name>", _SECURITY),
    ("update_user", "PUT", "Users/<Name>", _SECURITY),
    ("delete_user", "DELETE", "Users/<Name>", _SECURITY),
    ("list_roles", "GET", "Roles", _SECURITY),
    ("search_logs", "POST", "Logs/Search", _AUDIT),
    ("export_logs", "POST", "Logs/Export", _AUDIT),
    ("get_settings", "GET", "Settings", _ADMIN),
    ("update_settings", "PUT", "Settings", _ADMIN),
    ("computility_history", "GET", "Computility/<Code>/History", _READ),
    ("computility_statistics", "GET", "Computility/Statistics", _READ),
    ("list_allocations", "GET", "Allocations", _READ),
    ("service_statistics", "GET", "AlgoServices/Statistics", _READ),
    ("list_evaluations", "GET", "Evaluations", _READ),
    ("create_evaluation", "POST", "Evaluations", _OPERATE),
    ("get_evaluation", "GET", "Evaluations/<ID>", _READ),
    ("delete_evaluation", "DELETE", "Evaluations/<ID>", _OPERATE),
    ("list_capture_devices", "GET", "CaptureDevices", _READ),
    ("search_capture_devices", "POST", "CaptureDevices/Search", _READ),
    ("import_capture_devices", "POST", "CaptureDevices/Import", _ADMIN),
    ("list_capture_sources", "GET", "CaptureSources", _READ),
    ("create_capture_source", "POST", "CaptureSources", _ADMIN),
    ("update_capture_source", "PUT", "CaptureSources/<ID>", _ADMIN),
    ("delete_capture_source", "DELETE", "CaptureSources/<ID>", _ADMIN),
    ("list_media_files", "GET", "MediaFiles", _READ),
    ("import_media_file", "POST", "MediaFiles", _OPERATE),
    ("delete_media_file", "DELETE", "MediaFiles/<ID>", _OPERATE),
)

_PATH: dict[str, Any] = {"Code": Code20, "Name": PathName, "ID": PathName}


def _row(name: str, method: str, uri: str, access: Access) -> Operation:
    return Operation(
        id=f"acsmp.{name}",
        face=Face.ACSMP,
        table=None,
        method=method,
        uri=f"/ACSMP/{uri}",
        request=None,
        response=EmptyResponse,
        access=access,
        path={key: kind for key, kind in _PATH.items() if f"<{key}>" in uri},
        served=True,
        planned=True,
        extension=True,
        audit="counted" if method == "GET" or uri.endswith("/Search") else "always",
        summary=name.replace("_", " ").capitalize(),
    )


OPERATIONS: tuple[Operation, ...] = tuple(_row(*named) for named in _NAMED)
