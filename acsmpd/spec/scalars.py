"""Every scalar of the standard as a type: lengths in code points, patterns, enumerations.

`TextN` is a string of at most N characters, the printed "string N". Enumerations are Literals with the
printed values; misprinted values (FRONT_END_DEVIE, STOPPED) are folded by spec/aliases.py before a check.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Text10 = Annotated[str, Meta(max_length=10)]
Text16 = Annotated[str, Meta(max_length=16)]
Text20 = Annotated[str, Meta(max_length=20)]
Text23 = Annotated[str, Meta(max_length=23)]
Text32 = Annotated[str, Meta(max_length=32)]
Text40 = Annotated[str, Meta(max_length=40)]
Text45 = Annotated[str, Meta(max_length=45)]
Text50 = Annotated[str, Meta(max_length=50)]
Text64 = Annotated[str, Meta(max_length=64)]
Text128 = Annotated[str, Meta(max_length=128)]
Text256 = Annotated[str, Meta(max_length=256)]
Text1024 = Annotated[str, Meta(max_length=1024)]
Text2048 = Annotated[str, Meta(max_length=2048)]
Text4096 = Annotated[str, Meta(max_length=4096)]

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Port = Annotated[int, Meta(ge=1, le=65535)]

# `$(?!\n)`: a dollar alone would let a newline pass.
# yyyy-MM-dd HH:mm:ss with or without .SSS, local to the site: not ISO 8601, no zone.
DateTime = Annotated[
    str,
    Meta(
        description="yyyy-MM-dd HH:mm:ss, with or without .SSS",
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?$(?!\n)",
        max_length=23,
    ),
]
# [{"<milliseconds>": value}] ascending (Part 4 List<Map<Long,Double>>, our reading X-TREND).
Trend = list[dict[str, float]]

Code20 = Annotated[str, Meta(description="20 digits", pattern=r"^[0-9]{20}$", max_length=20)]
MD5 = Annotated[str, Meta(description="32 hexadecimal digits", pattern=r"^[0-9A-Fa-f]{32}$", max_length=32)]
EventID = Annotated[
    str, Meta(description="1 to 128 of A-Z, 0-9 and _", pattern=r"^[A-Z0-9_]{1,128}$(?!\n)", max_length=128)
]

# Path segments: no slash ever; a colon would swallow the verbs of Part 4 (X-COLON).
PackageID = Annotated[
    str,
    Meta(
        description="1 to 40 characters without / and :",
        pattern=r"^[^/:\x00-\x1f]+$",
        min_length=1,
        max_length=40,
    ),
]
PlanID = Positive
ServiceID = Annotated[
    str,
    Meta(
        description="1 to 256 characters without / and :",
        pattern=r"^[^/:\x00-\x1f]+$",
        min_length=1,
        max_length=256,
    ),
]
PathInstanceID = Annotated[
    str,
    Meta(
        description="1 to 128 characters without /", pattern=r"^[^/\x00-\x1f]+$", min_length=1, max_length=128
    ),
]
FacilityTaskID = Annotated[
    str,
    Meta(
        description="1 to 128 characters without / and :",
        pattern=r"^[^/:\x00-\x1f]+$",
        min_length=1,
        max_length=128,
    ),
]
CapabilityCode = Annotated[
    str,
    Meta(
        description="1 to 256 characters without /", pattern=r"^[^/\x00-\x1f]+$", min_length=1, max_length=256
    ),
]
PathName = Annotated[
    str,
    Meta(
        description="1 to 256 characters without /", pattern=r"^[^/\x00-\x1f]+$", min_length=1, max_length=256
    ),
]
Namespace = Annotated[
    str,
    Meta(
        description="1 to 64 of A-Z a-z 0-9 . _ -",
        pattern=r"^[A-Za-z0-9._-]+$(?!\n)",
        min_length=1,
        max_length=64,
    ),
]
Signature = Annotated[
    str,
    Meta(description="a signature of ours", pattern=r"^[A-Za-z0-9_-]+$(?!\n)", min_length=1, max_length=128),
]

# Instance ids are strings (UUIDs); integers (our Number) are accepted wherever the print shows them.
InstanceID = Annotated[str, Meta(min_length=1, max_length=128)] | Int64

AlgoFilePackageType = Literal["artifact", "image"]
AlgoDefStatus = Literal[
    "UNTESTED",
    "APPLYING",
    "DEPLOYABLE",
    "DEPLOYING",
    "DEPLOY_FAILED",
    "TESTABLE",
    "STOPPING",
    "PUBLISHABLE",
    "PUBLISHED",
]
AlgoDataType = Literal["STRUCTURING", "ALERT", "STATISTICS", "OTHER"]
SourceType = Literal["API", "ENGINE"]
SortDirection = Literal["asc", "desc"]
TaskType = Literal["VIDEO_REALTIME", "VIDEO_PLAYBACK", "VIDEO_FILE", "IMAGE_REALTIME"]
TaskMode = Literal["PERIODIC", "INSPECTIVE"]
TaskStatus = Literal["ON", "OFF"]
TaskInstanceStatus = Literal["PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR"]
RestartPolicy = Literal["NEVER", "ALWAYS"]
AlgoServiceStatus = Literal["UNSPECIFIED", "INIT", "RUNNING", "OVERLOAD", "ERROR"]
DeviceAlgoPackageStatus = Literal[1, 2, 3]
ComputilityType = Literal[
    "EDGE_COMPUTE_DEVICE", "FRONT_END_DEVICE", "AI_CAMERA", "AI_BOX", "AI_CLOUD", "CCP", "CAP", "CAD"
]
AlgoPackageType = Literal["BIN", "ENGINE"]
AlgoPackageRunStatus = Literal["RUNNING", "STOPPED"]
CapPackageStatus = Literal[0, 1, 2, 3, 4]
ExecFileType = Literal["image", "artifact"]
EngineFileType = Literal["Engine", "FilePackage"]
UsageUnit = Literal["auto", "amount", "percent", "fraction"]
Family = Literal["cad", "cap", "ccp", "edge", "direct", "local", "none"]


class MultipartFile:
    """A file part of a multipart form, already on disk. A class of its own: JSON can never become one."""

    __slots__ = ("filename", "path", "size_bytes")

    def __init__(self, path: str, filename: str, size_bytes: int) -> None:
        self.path = path
        self.filename = filename
        self.size_bytes = size_bytes
