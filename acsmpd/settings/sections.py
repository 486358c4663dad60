"""Every setting of the box: type, range, default, and why it stands there. The unit is in the name."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from acsmpd.settings import values as v
from acsmpd.settings.values import GIB, MIB, says, system_zone


class Site(Struct, frozen=True):
    """Who this box is."""

    code: Annotated[
        v.Code,
        says(
            "The 20-digit code of this site (GB/T 28181). Required as soon as others can reach the box "
            "(server.host is not loopback) or an upstream is set."
        ),
    ] = ""
    name: Annotated[v.Words, says("How people call the site; shown in the console and upstream.")] = ""
    timezone: Annotated[
        v.Zone, says("The zone of every printed time and of the windows of plans; empty: the system's.")
    ] = ""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in force: the one set, else the system's."""
        return ZoneInfo(self.timezone) if self.timezone else system_zone()


class Advertised(Struct, frozen=True):
    """Under which address parties of one network reach this box."""

    network: Annotated[v.Network, says("Parties whose address lies in this network ...", "10.1.0.0/16")]
    url: Annotated[
        v.WebAddress,
        says("... are given this address for links, results and callbacks.", "http://10.1.0.5:8750"),
    ]


class Server(Struct, frozen=True):
    """Where the box listens and how many it serves at once."""

    host: Annotated[
        v.Host,
        says("The address to listen on. 0.0.0.0 is every IPv4 address of the box; site.code is then due."),
    ] = "127.0.0.1"
    port: Annotated[v.Port, says("The TCP port of every face: /ACSMP, /CAD, /CAP, the console.")] = 8750
    threads: Annotated[v.Threads, says("Requests handled at the same moment; each costs about 1 MiB.")] = 16
    connection_limit: Annotated[
        v.Count, says("Open connections. Keep it well under the process' file limit (LimitNOFILE).")
    ] = 2000
    channel_timeout_seconds: Annotated[
        v.WholeSeconds, says("A connection that is silent so long is closed; frees places for the next.")
    ] = 30
    backlog: Annotated[v.Count, says("Connections the kernel keeps waiting while all are busy.")] = 2048
    max_waiters: Annotated[
        v.Waiters,
        says("Requests that may wait (?Wait, asks, event streams) at once, fewer than threads; 0: half."),
    ] = 0
    advertise: Annotated[
        tuple[Advertised, ...],
        says(
            "Addresses to give to parties of a network, the first match counts. "
            "None: the local address that reached the party."
        ),
    ] = ()

    @property
    def waiters(self) -> int:
        """How many requests may wait at once."""
        return self.max_waiters or self.threads // 2

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach the box."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower().removesuffix(".") == "localhost"


class Data(Struct, frozen=True):
    """Where everything that must survive lies."""

    dir: Annotated[
        v.Folder, says("The data directory (mode 0700): database, packages, services, results, keys.")
    ] = "./var"
    min_free_bytes: Annotated[
        v.Bytes, says("Below this free space nothing more is taken in, so that the database can still write.")
    ] = 256 * MIB

    @property
    def path(self) -> Path:
        return Path(self.dir)


class Log(Struct, frozen=True):
    """What goes to stderr, one line an event."""

    format: Annotated[Literal["text", "json"], says("text: key=value for people; json: for a collector.")] = (
        "text"
    )
    level: Annotated[
        Literal["debug", "info", "warning", "error"], says("The least serious events that are written.")
    ] = "info"


class Api(Struct, frozen=True):
    """The face for applications, /ACSMP."""

    always_200: Annotated[
        bool, says("Answer every fault with HTTP 200, for clients that only read Code.")
    ] = False


class Facade(Struct, frozen=True):
    """The faces for a platform above, /CAD and /CAP, and the set of interfaces spoken to edge devices."""

    always_200: Annotated[
        bool,
        says(
            "Answer business faults with HTTP 200 and a Code, as most platforms expect; 401, 413, 5xx stay."
        ),
    ] = True
    show_local: Annotated[
        bool, says("Show the site's own tasks and services to the platform above, read-only.")
    ] = False
    edge_prefix: Annotated[v.Prefix, says("The path under which edge devices serve their interfaces.")] = (
        "/CAD"
    )


class Enrolment(Struct, frozen=True):
    """How a device that nobody knows becomes one of ours."""

    mode: Annotated[
        Literal["approval", "preset", "open"],
        says(
            "approval: an operator says yes; preset: only codes entered before; open: anyone (laboratories)."
        ),
    ] = "approval"
    pending_max: Annotated[v.Count, says("Devices that may wait for approval at once.")] = 500
    pending_per_address: Annotated[v.Count, says("... of them from one address.")] = 5
    pending_days: Annotated[v.Days, says("A device nobody approved is forgotten after this time.")] = 7


class Keepalive(Struct, frozen=True):
    """Signs of life from devices."""

    require_token: Annotated[
        bool, says("Refuse a Keepalive without a token even from the address that registered.")
    ] = False


class Tokens(Struct, frozen=True):
    """Tokens handed to computilities."""

    computility_hours: Annotated[v.Hours, says("Life of a device's token; renewed at half of it.")] = 24


class Sessions(Struct, frozen=True):
    """People who logged in."""

    idle_minutes: Annotated[v.Minutes, says("A session unused so long ends.")] = 30


class Passwords(Struct, frozen=True):
    """How passwords may arrive."""

    mode: Annotated[
        Literal["auto", "sm2", "plain"],
        says("auto: SM2 ciphertext or plain text, told apart by length; sm2: ciphertext only; plain: text."),
    ] = "auto"


class Packages(Struct, frozen=True):
    """Limits of algorithm packages, judged before anything is unpacked."""

    max_bytes: Annotated[v.Bytes, says("Size of one package file.")] = 16 * GIB
    max_members: Annotated[v.Count, says("Files in one package.")] = 20000
    max_unpacked_bytes: Annotated[v.Bytes, says("Size of all its files together.")] = 16 * GIB
    max_ratio: Annotated[v.Count, says("Unpacked size over packed size; more is taken for a bomb.")] = 200
    url_wait_seconds: Annotated[
        v.WholeSeconds, says("How long an import by Url holds its request before it says where to look.")
    ] = 300
    arrival_seconds: Annotated[
        v.WholeSeconds,
        says("A device that accepted a package and takes no byte of it for so long has failed to fetch it."),
    ] = 1800


class Push(Struct, frozen=True):
    """Bringing packages to devices."""

    parallel: Annotated[
        v.Few, says("Devices that fetch package files at the same moment; the next begins when one is done.")
    ] = 16


class Results(Struct, frozen=True):
    """What algorithms report, and the way of it to those who asked."""

    mode: Annotated[
        Literal["relay", "append"],
        says(
            "relay: devices report to this box alone and it delivers; append: to the callers' receivers too."
        ),
    ] = "relay"
    keep_hours: Annotated[
        v.Hours, says("How long a delivery is tried, and results are taken for an instance that is gone.")
    ] = 72
    max_body_bytes: Annotated[v.Bytes, says("Size of one reported result with its pictures.")] = 16 * MIB
    pictures_max_bytes: Annotated[v.Bytes, says("Space for all pictures; the oldest go first.")] = 2 * GIB
    pictures_keep_hours: Annotated[
        v.Hours, says("Age at which a picture goes; so does its result, though not before keep_hours.")
    ] = 168
    picture_max_bytes: Annotated[v.Bytes, says("Size of one picture.")] = 8 * MIB
    max_rows: Annotated[v.Count, says("Results kept in the database; the oldest go first.")] = 1_000_000
    bodies_max_bytes: Annotated[
        v.Bytes, says("Space for all results without their pictures; the oldest go first.")
    ] = GIB


class Egress(Struct, frozen=True):
    """Where this box may connect to."""

    allow: Annotated[
        tuple[v.Target, ...],
        says(
            "host:port or host:*, let through although loopback, link-local or our own. "
            "127.0.0.1:* covers 127/8, ::1 and localhost."
        ),
    ] = ()


class Observe(Struct, frozen=True):
    """Looking at devices."""

    interval_seconds: Annotated[v.Seconds, says("Time between two looks at one device.")] = 15


class Computility(Struct, frozen=True):
    """When a silent device counts as lost. 90 s of silence is normal for a device of this standard."""

    lost_seconds: Annotated[
        v.WholeSeconds, says("Silence after which a device is lost and its work moves.")
    ] = 270
    suspect_seconds: Annotated[
        v.WholeSeconds, says("Silence after which it is suspect, and lost if looking at it fails too.")
    ] = 100


class Plans(Struct, frozen=True):
    """Tasks and their windows."""

    start_timeout_seconds: Annotated[
        v.Seconds,
        says(
            "A task of an inspection or pipeline that is not running by then has failed; its place is free."
        ),
    ] = 20
    duration_flush_seconds: Annotated[
        v.Seconds, says("How often running durations are written down; so much may be lost by a power cut.")
    ] = 5


class Pipelines(Struct, frozen=True):
    """Work that results set going."""

    max_runs: Annotated[
        v.Count, says("Runs of all pipelines at once; a result that would begin one more is only counted.")
    ] = 100


class Rollouts(Struct, frozen=True):
    """Packages brought to many devices in waves."""

    offline_seconds: Annotated[
        v.WholeSeconds,
        says("A device that is away for so long while it is its turn has failed; the next ones go on."),
    ] = 3600
    member_seconds: Annotated[
        v.WholeSeconds,
        says("A device that is not done so long after its turn began has failed; a thin line takes hours."),
    ] = 21_600


class Runtime(Struct, frozen=True):
    """Algorithm services that run on this box."""

    user: Annotated[
        v.MaybeUser,
        says("The user engines run as where bubblewrap is missing; the box must then run as root."),
    ] = ""
    allow_unsandboxed: Annotated[
        bool, says("Run engines without bubblewrap and without a user of their own. For demonstrations.")
    ] = False
    read_only_paths: Annotated[
        tuple[v.Absolute, ...],
        says("Folders outside /usr that engines may read, such as a Python they need."),
    ] = ()
    scratch_max_bytes: Annotated[v.Bytes, says("What one engine may write into its own folder.")] = GIB
    tmp_max_bytes: Annotated[v.Bytes, says("... and into its /tmp, which counts as memory.")] = 64 * MIB
    memory_max_bytes: Annotated[v.Room, says("Memory of one engine; it is ended when it takes more.")] = (
        2 * GIB
    )
    pids_max: Annotated[v.Count, says("Processes and threads of one engine.")] = 256
    log_max_bytes: Annotated[v.Bytes, says("Kept output of one engine.")] = MIB
    start_timeout_seconds: Annotated[
        v.Seconds, says("An engine that does not answer by then is restarted.")
    ] = 60
    stop_timeout_seconds: Annotated[v.Seconds, says("Time between the request to end and the kill.")] = 10
    health_interval_seconds: Annotated[v.Seconds, says("Time between two looks at an engine.")] = 5
    port_from: Annotated[v.Port, says("First port handed to engines (loopback).")] = 18700
    port_to: Annotated[v.Port, says("Last port handed to engines; one for each replica.")] = 18799
    engine_base_path: Annotated[
        v.MaybePrefix, says("What stands before the paths of the engine interface.")
    ] = ""
    stream_limit: Annotated[
        v.Count, says("Streams one CPU replica carries when the package does not say.")
    ] = 4


class Local(Struct, frozen=True):
    """This box's own compute, offered as one more computility."""

    enabled: Annotated[bool, says("Run algorithm services on this box itself.")] = True
    type: Annotated[Literal["AI_BOX", "EDGE_COMPUTE_DEVICE", "CAD"], says("The type it is listed with.")] = (
        "AI_BOX"
    )


class Engine(Struct, frozen=True):
    """The loop that carries wishes out."""

    tick_seconds: Annotated[
        v.Tick, says("The longest time between two passes; under half of the watchdog's.")
    ] = 1
    lanes: Annotated[v.Few, says("Steps carried out on devices at the same moment.")] = 8
    lanes_per_device: Annotated[v.Few, says("... of them on one device.")] = 2
    backoff_first_seconds: Annotated[
        v.Seconds, says("Wait after a first failed try; doubled at each next.")
    ] = 2
    backoff_max_seconds: Annotated[v.Seconds, says("The longest wait between two tries.")] = 300


class Wire(Struct, frozen=True):
    """Outgoing calls."""

    connect_timeout_seconds: Annotated[v.Seconds, says("Time for a connection to stand.")] = 5
    read_timeout_seconds: Annotated[v.Seconds, says("Silence after which a call has failed.")] = 15
    answer_max_bytes: Annotated[v.Bytes, says("Size of one answer; package downloads are judged apart.")] = (
        MIB
    )


class Metrics(Struct, frozen=True):
    """/metrics."""

    open: Annotated[bool, says("Hand /metrics to anyone; otherwise a key is needed.")] = False


class Probes(Struct, frozen=True):
    """Reading processor, memory, disks and cards."""

    interval_seconds: Annotated[v.Seconds, says("Time between two samples.")] = 5
    deadline_seconds: Annotated[
        v.Seconds, says("A query that takes longer is ended; the card shows as not answering.")
    ] = 3
    history_minutes: Annotated[v.Minutes, says("How far back samples are kept.")] = 60


class Ccp(Struct, frozen=True):
    """Central computing platforms."""

    engine_interface: Annotated[
        Literal["none", "ours"],
        says(
            "ours: tasks on a cluster's pods go by our engine interface; none: task control is refused there."
        ),
    ] = "none"
    cpu: Annotated[v.Count, says("Processors one replica of a service asks for; packages do not say.")] = 1
    memory_gib: Annotated[v.Count, says("Memory in GiB that one replica asks for.")] = 2


class Licences(Struct, frozen=True):
    """Authorisation of algorithms."""

    grace_hours: Annotated[
        v.HoursOrNot,
        says("Running work ends so long after its licence expired or was deleted; -1: never."),
    ] = -1
    quota_path: Annotated[
        v.QuotaPath, says("Where an authorisation server tells the quota of a capability.")
    ] = "/AuthServer/Quota/{AlgoDefCode}"
    quota_timeout_seconds: Annotated[
        v.Seconds, says("Time for its answer; its addresses, tried in their order, share it.")
    ] = 5
    quota_refresh_seconds: Annotated[
        v.Seconds, says("How often each provider's default server is asked for what is loaded.")
    ] = 60


class Audit(Struct, frozen=True):
    """The record of who did what."""

    keep_days: Annotated[v.Days, says("Age at which an entry, and an alarm that is over, goes.")] = 180
    max_rows: Annotated[v.Count, says("Entries kept; the oldest go first.")] = 1_000_000


class Relay(Struct, frozen=True, kw_only=True):
    """How results go to one receiver, an application or a platform above; the first that names it counts."""

    to: Annotated[
        v.MaybeTarget, says("The receiver's host:port, or host:*; empty: every receiver.", "10.0.0.1:8750")
    ] = ""
    order: Annotated[
        Literal["oldest", "newest"],
        says("What goes first after the line was down: the oldest that waits, or what came last."),
    ] = "oldest"
    bytes_per_second: Annotated[v.Rate, says("What results may take of the line on average; 0: all.")] = 0
    pictures: Annotated[bool, says("false: results go without their pictures, which stay here.")] = True
    raw: Annotated[bool, says("A multipart result goes as the device sent it, instead of as our JSON.")] = (
        False
    )


class Upstream(Struct, frozen=True, kw_only=True):
    """A platform above this one, at which the box registers."""

    url: Annotated[v.WebAddress, says("The platform's address; /ACSMP is added.", "http://10.0.0.1:8750")]
    code: Annotated[v.Code, says("The code we register with; empty: site.code.")] = ""
    type: Annotated[
        Literal["CAP", "CAD", "AI_BOX"],
        says("What we register as: the site (CAP) or the box (CAD, AI_BOX).", "CAP"),
    ]
    username: Annotated[v.Login, says("The account it gave us.", "site-7")]
    password_file: Annotated[
        v.Folder,
        says("A file that holds nothing but its password (mode 0600).", "/etc/acsmpd/upstream-password"),
    ]
    password_mode: Annotated[
        Literal["auto", "sm2", "plain"], says("auto: SM2 when a public key is known, else plain.")
    ] = "auto"  # noqa: S105
    public_key_file: Annotated[
        v.MaybeFolder, says("The platform's SM2 public key; empty: asked for and pinned at first use.")
    ] = ""
    keepalive_seconds: Annotated[v.Quiet, says("Time between two Keepalives.")] = 30
