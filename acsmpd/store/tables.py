"""The tables, one class each. Times are UTC milliseconds. Peewee models without a database of their own:
every query is executed on the transaction it is given to (store/database.py)."""

from __future__ import annotations

from typing import Any

import msgspec
from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    FloatField,
    IntegerField,
    Model,
    NodeList,
    TextField,
)


class JsonField(TextField):  # type: ignore[misc]
    """A JSON value kept as text; NULL stays None."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def python_value(self, value: str | None) -> Any:
        return None if value is None else msgspec.json.decode(value)


class NumberField(AutoField):  # type: ignore[misc]
    """A number that is never given twice, not even when the row with the highest one is gone."""

    def ddl(self, ctx: Any) -> Any:
        return NodeList((super().ddl(ctx), SQL("AUTOINCREMENT")))


YES, ZERO, EMPTY = SQL("DEFAULT 1"), SQL("DEFAULT 0"), SQL("DEFAULT ''")
AUTO = SQL("DEFAULT 'auto'")
"""What a column that a later schema added holds in the rows of before."""


class Table(Model):  # type: ignore[misc]
    class Meta:
        legacy_table_names = False

    @classmethod
    def select(cls, *fields: Any) -> Any:
        """See the base. Whole rows are asked for by one word: to name 24 columns costs more than to read them."""
        return super().select(*(fields or (SQL('"t1".*'),)))


class Fact(Table):
    """Small things the daemon must remember: counters, marks, the generation of links."""

    name = CharField(primary_key=True)
    value = JsonField(null=True)


class Package(Table):
    """An algorithm package file held by the platform (table A.5)."""

    id = CharField(primary_key=True)
    name = TextField()
    version = TextField()
    kind = CharField()
    provider = TextField()
    description = TextField(default="")
    file_name = TextField()
    path = TextField()
    size = BigIntegerField()
    md5 = CharField()
    sm3 = CharField()
    manifest = JsonField()
    origin = CharField(default="")
    created_ms = BigIntegerField(index=True)
    modified_ms = BigIntegerField()


class Capability(Table):
    """An algorithm capability (AlgoDef) read out of a package."""

    code = CharField(primary_key=True)
    package_id = CharField(index=True)
    name = TextField()
    description = TextField(default="")
    data_type = CharField()
    event_ids = JsonField()
    task_types = JsonField()
    task_fields = JsonField()
    created_ms = BigIntegerField()
    modified_ms = BigIntegerField()


class Computility(Table):
    """A device or facility: what an operator entered, what it registered, what was last seen of it."""

    code = CharField(primary_key=True)
    type = CharField()
    family = CharField()
    name = TextField(default="")
    organisation = TextField(default="")
    network = TextField(default="")
    location = JsonField(null=True)
    tags = JsonField(null=True)
    scheme = CharField(default="http")
    ip = CharField(default="")
    port = IntegerField(default=0)
    prefix = TextField(default="")
    pin = CharField(null=True)
    auth = CharField(default="token")
    username = TextField(default="")
    password_sealed = TextField(null=True)
    support_services = BooleanField(default=True)
    capabilities = JsonField(null=True)
    stream_limit = IntegerField(default=1)
    preset = BooleanField(default=False)
    approved = BooleanField(default=False)
    enabled = BooleanField(default=True)
    maintenance = BooleanField(default=False)
    registered = BooleanField(default=False)
    registered_from = CharField(default="")
    registered_ms = BigIntegerField(null=True)
    heard_ms = BigIntegerField(null=True)
    answered_ms = BigIntegerField(null=True)
    ever_heard = BooleanField(default=False)
    ever_answered = BooleanField(default=False)
    state = CharField(default="offline")
    state_since_ms = BigIntegerField(null=True)
    state_reason = TextField(default="")
    info = JsonField(null=True)
    observed_ms = BigIntegerField(null=True)
    created_ms = BigIntegerField()
    usage_unit = CharField(
        default="auto", constraints=[AUTO]
    )  # of a platform's status: auto amount percent fraction
    cluster = TextField(default="", constraints=[EMPTY])  # these three of a central computing platform
    nodes = JsonField(null=True)
    namespace = TextField(default="", constraints=[EMPTY])


class Token(Table):
    """A computility token: which one is `current`, which `next`, and until when an old one is taken."""

    hash = CharField(primary_key=True)
    code = CharField(index=True)
    role = CharField()  # current | next | old
    sealed = TextField()
    created_ms = BigIntegerField()
    used_ms = BigIntegerField(null=True)
    dies_ms = BigIntegerField(null=True)


class Claim(Table):
    """A registration of a code nobody approved yet; several claimants of one code stand side by side."""

    id = AutoField()
    code = CharField(index=True)
    address = CharField(index=True)
    type = CharField()
    ip = CharField()
    port = IntegerField()
    username = TextField()
    password_sealed = TextField()
    support_services = BooleanField()
    refused = BooleanField(default=False)  # a known code with a wrong password, shown to the operator
    created_ms = BigIntegerField()
    seen_ms = BigIntegerField()


class Copy(Table):
    """A package file on a device: the wish, and what the device was last seen to hold."""

    id = NumberField()
    package_id = CharField(index=True)
    device = CharField(index=True)
    wanted = BooleanField(default=True)
    asked = BooleanField(default=False)  # wished for by itself (table 7), not only by a load
    origin = CharField(default="")
    status = IntegerField(default=1)  # 1 downloading, 2 failed, 3 complete
    sent = BooleanField(default=False)  # it may be on the device
    md5 = CharField(default="")  # of the file that was sent
    generation = IntegerField(default=0)  # of its link; a higher number revokes older links
    progress = FloatField(default=0.0)
    error = TextField(default="")
    attempts = IntegerField(default=0)
    parked = BooleanField(default=False)  # refused for good: waits for a new wish
    missing = IntegerField(default=0)
    created_ms = BigIntegerField()
    changed_ms = BigIntegerField()
    ours = BooleanField(default=True, constraints=[YES])  # False: foreign, somebody else put it there
    name = TextField(
        default="", constraints=[EMPTY]
    )  # these three as the device tells them, of a foreign one
    version = TextField(default="", constraints=[EMPTY])
    kind = CharField(default="", constraints=[EMPTY])
    lacks_program = BooleanField(default=False, constraints=[ZERO])  # there, but for its executable

    class Meta:
        indexes = ((("package_id", "device"), True),)


class Service(Table):
    """An algorithm service: the wish (package, environment, licence, replicas)."""

    id = CharField(primary_key=True)
    package_id = CharField(index=True)
    env = JsonField()
    args = TextField(null=True)
    license_url = TextField(null=True)
    replicas = IntegerField(default=1)
    origin = CharField(default="")
    created_ms = BigIntegerField(index=True)
    host = CharField(default="", constraints=[EMPTY])  # the node it is bound to, as it was asked for
    xpu_type = CharField(default="", constraints=[EMPTY])  # the card it was asked for


class Load(Table):
    """A service on a device."""

    id = CharField(primary_key=True)
    service_id = CharField(index=True)
    package_id = CharField(index=True)
    device = CharField(index=True)
    replica = IntegerField(default=0)
    wanted = BooleanField(default=True)
    status = CharField(default="INIT")  # of table F.13
    sent = BooleanField(default=False)
    facility_id = TextField(default="")
    xpu_index = JsonField(null=True)
    xpu_type = CharField(default="")
    xpu_quota = FloatField(default=0.0)
    error = TextField(default="")
    attempts = IntegerField(default=0)
    parked = BooleanField(default=False)
    missing = IntegerField(default=0)  # complete observations in a row that lack it
    created_ms = BigIntegerField(index=True)
    changed_ms = BigIntegerField()
    ours = BooleanField(default=True, constraints=[YES])  # False: foreign, somebody else loaded it
    replicas = IntegerField(null=True)  # as its facility was told or shows, where they are changed in place
    ready = IntegerField(null=True)  # how many of them serve


class Plan(Table):
    """A task plan (table C.6)."""

    id = NumberField()
    name = TextField()
    type = CharField()
    mode = CharField()
    description = TextField(default="")
    inspection = JsonField(null=True)
    plan_day_time = JsonField(null=True)
    auto_restart = BooleanField(default=False)
    auto_start = BooleanField(default=False)
    status = CharField(default="OFF")
    origin = CharField(default="")
    created_ms = BigIntegerField(index=True)
    modified_ms = BigIntegerField()
    round = IntegerField(default=0, constraints=[ZERO])  # complete rounds of an inspection


class Instance(Table):
    """A task instance: one analysis of one stream (AlgoTaskInfo, table D.2 of Part 4)."""

    number = NumberField()
    id = CharField(unique=True)
    plan_id = IntegerField(null=True)
    origin = CharField(default="", index=True)
    caller_id = CharField(default="")  # the ID the caller above gave it
    type = CharField()
    info = JsonField()
    receive_urls = JsonField()  # the callers' own result addresses, per rule
    restart_policy = CharField(default="NEVER")
    service_id = CharField(default="")  # pinned to this service
    device = CharField(default="")  # pinned to this computility
    on = BooleanField(
        default=False, index=True
    )  # to run now: started, and its plan's hours or its turn have come
    started_at_once = BooleanField(
        default=True
    )  # CreateAndStartTask of Part 4, which a later resume does not change
    deleted = BooleanField(default=False, index=True)
    revision = IntegerField(default=0)  # grows with every change of info
    status = CharField(default="PAUSED")
    reason = TextField(default="")
    stream_device_id = CharField(default="")
    created_ms = BigIntegerField()
    changed_ms = BigIntegerField()
    started = BooleanField(
        default=False, constraints=[ZERO]
    )  # somebody wants it to run, in its plan's hours or turns
    next = JsonField(
        null=True
    )  # columns it gets at its next start: what an update of its running plan changed
    priority_class = CharField(default="", constraints=[EMPTY])  # of a schedule policy
    preempted_by = TextField(default="", constraints=[EMPTY])  # who took its last place, in words
    capability = CharField(
        default="", constraints=[EMPTY]
    )  # the only one that may serve it; "": any that can

    class Meta:
        # with the number behind each: a page needs no sorting
        indexes = (
            (("plan_id", "deleted"), False), (("deleted", "plan_id"), False), (("deleted", "status"), False),
            (("deleted", "stream_device_id"), False), (("deleted", "created_ms"), False),
        )  # fmt: skip


class Turn(Table):
    """An instance's turn in a round of its inspection; none, or one of an earlier round: it is still to come."""

    instance_id = CharField(primary_key=True)
    plan_id = IntegerField(index=True)
    round = IntegerField()
    phase = CharField()  # see decide/rounds
    reason = TextField(default="")  # why it failed
    elapsed_seconds = FloatField(default=0.0)  # in this phase, up to `mono` of `boot_id`
    mono = FloatField()
    boot_id = CharField()


class InstanceEvent(Table):
    """Which events an instance asks for, so that searches by capability need no JSON.

    By its number: a search goes through the instances by number, and looks these up side by side.
    """

    id = AutoField()
    instance_number = IntegerField()
    event_id = CharField(index=True)
    capability = CharField(default="", index=True)

    class Meta:
        indexes = ((("instance_number", "capability", "event_id"), False),)


class Task(Table):
    """An instance's place on a device. Re-placement makes a new row; the old one ends as `gone`."""

    id = NumberField()
    instance_id = CharField(index=True)
    device = CharField(index=True)
    load_id = CharField(null=True, index=True)
    wanted = CharField(default="running")  # running | paused | gone
    sent = BooleanField(default=False)
    task_id = CharField(default="", index=True)  # the device's own id
    status = CharField(default="PENDING")
    reason = TextField(default="")
    labels = JsonField(null=True)  # those sent: the caller's with the chosen package's
    capabilities = JsonField(null=True)
    revision = IntegerField(default=0)  # of the instance's info that the device holds
    policy = CharField(default="")  # the RestartPolicy the device holds
    attempts = IntegerField(default=0)
    parked = BooleanField(default=False)
    missing = IntegerField(default=0)
    created_ms = BigIntegerField()
    changed_ms = BigIntegerField()
    why = TextField(default="", constraints=[EMPTY])  # it is here and not elsewhere
    replaces = IntegerField(null=True, index=True)  # the place that stays until this one is seen running


class Intent(Table):
    """The ledger of steps: written before a step leaves, closed with its outcome. Open after a crash = unknown."""

    id = NumberField()
    kind = CharField()  # copy | load | task
    subject = CharField(index=True)
    device = CharField()
    step = CharField()
    attempt = IntegerField()
    begun_ms = BigIntegerField()
    outcome = CharField(null=True)  # done | temporary | permanent | unknown
    text = TextField(default="")
    ended_ms = BigIntegerField(null=True)


class ForeignTask(Table):
    """A task on a device that our ledger did not create: shown, counted, changed only by an operator's word."""

    id = NumberField()
    device = CharField(index=True)
    task_id = CharField()  # the device's own id
    status = CharField()
    stream_url = TextField(default="")
    event_ids = JsonField()
    service_id = TextField(default="")  # the facility's own id of its service
    labels = JsonField(null=True)
    policy = CharField(default="")
    info = JsonField(null=True)  # the AlgoTaskInfo as the device tells it; None when it is too long to keep
    digest = CharField()  # of the AlgoTaskInfo, to tell whether it changed
    seen_ms = BigIntegerField()

    class Meta:
        indexes = ((("device", "task_id"), True),)


class Ask(Table):
    """A stored question that needs an outgoing call; the engine answers it."""

    id = CharField(primary_key=True)
    kind = CharField()
    subject = TextField()
    arguments = JsonField()
    state = CharField(default="open")  # open | running | withdrawn | done | failed
    answer = JsonField(null=True)
    received = BigIntegerField(default=0)
    size = BigIntegerField(null=True)
    created_ms = BigIntegerField(index=True)
    changed_ms = BigIntegerField()

    class Meta:
        indexes = ((("kind", "state"), False),)


class Result(Table):
    """One analysis result as it was received; body without picture data, pictures on disk."""

    id = AutoField()
    instance_id = CharField(index=True)
    plan_id = IntegerField(null=True, index=True)
    event_id = CharField(index=True)
    capability = CharField(default="", index=True)
    device_id = CharField(default="", index=True)
    fingerprint = CharField(unique=True)
    event_ms = BigIntegerField(index=True)
    body = JsonField()
    size = IntegerField(default=0, index=True)  # of the body as text
    raw_path = TextField(default="")
    late = BooleanField(default=False)
    error = TextField(default="")
    received_ms = BigIntegerField(index=True)


class Picture(Table):
    """A picture of a result; bytes on disk as a ring by size and age."""

    id = AutoField()
    result_id = IntegerField(index=True)
    place = IntegerField()  # in Images; -1 for a raw body
    path = TextField(index=True)  # from the data directory on; results of one post may share a file
    size = BigIntegerField()
    created_ms = BigIntegerField(index=True)


class Tally(Table):
    """How many rows there are, and their size; triggers keep it. `results`, `pictures`, `to <destination>`."""

    name = CharField(primary_key=True)
    number = IntegerField()
    size = BigIntegerField()


class Delivery(Table):
    """The durable outbox: one result for one address, in order per destination, at least once."""

    id = AutoField()
    result_id = IntegerField(index=True)
    instance_id = CharField()
    url = TextField()
    destination = CharField(index=True)  # scheme://host:port
    attempts = IntegerField(default=0)
    refusals = IntegerField(default=0)  # of the attempts: the receiver did not want this one
    error = TextField(default="")
    created_ms = BigIntegerField(index=True)

    class Meta:
        indexes = ((("result_id", "url"), True),)


class Person(Table):
    """An account of a person; the password is an scrypt hash."""

    name = CharField(primary_key=True)
    password = TextField()
    roles = JsonField()
    organisation = TextField(default="")
    must_change = BooleanField(default=False)
    enabled = BooleanField(default=True)
    created_ms = BigIntegerField()


class ApiKey(Table):
    """A long-lived named key; only its hash is kept."""

    name = CharField(primary_key=True)
    hash = CharField(unique=True)
    roles = JsonField()
    organisation = TextField(default="")
    created_ms = BigIntegerField()


class Audit(Table):
    """Who did what, when, from where, with which result."""

    id = AutoField()
    at_ms = BigIntegerField(index=True)
    who = CharField(index=True)
    address = CharField()
    operation = CharField(index=True)
    object = TextField(default="")
    code = IntegerField()
    request_id = CharField()
    times = IntegerField(default=1)


class Alarm(Table):
    """Something a person should know: one open row per (kind, subject)."""

    id = AutoField()
    kind = CharField(index=True)
    subject = CharField(index=True)
    text = TextField()
    since_ms = BigIntegerField(index=True)
    until_ms = BigIntegerField(null=True)


class Upstream(Table):
    """What we are to a platform above: tokens it gave us, when it was last reached."""

    code = CharField(primary_key=True)
    state = CharField(default="new")
    reason = TextField(default="")
    public_key = TextField(default="")
    changed_ms = BigIntegerField()
    via = TextField(default="", constraints=[EMPTY])  # site codes its requests have passed, blank between


class UpstreamToken(Table):
    """A token a platform above gave us; the newest counts, each earlier one for 24 h after its successor."""

    hash = CharField(primary_key=True)
    code = CharField(index=True)
    sealed = TextField()
    created_ms = BigIntegerField()
    dies_ms = BigIntegerField(null=True)


class Rollout(Table):
    """One package for many devices, in waves: the wish, and until when it was under way."""

    id = NumberField()
    name = TextField(default="")
    package_id = CharField()
    load = BooleanField()
    env = JsonField()
    license_url = TextField(null=True)
    most = IntegerField()  # members in progress at once
    threshold = IntegerField()  # so many failed: it stops
    windows = JsonField(null=True)  # PlanDayTime texts; NULL: at any time
    paused = BooleanField(default=False)
    created_ms = BigIntegerField()
    changed_ms = BigIntegerField()
    ended_ms = BigIntegerField(null=True, index=True)  # from then on nothing of it moves
    min_ready = IntegerField(default=0, constraints=[ZERO])  # seconds a service has to run before it counts


class RolloutMember(Table):
    """One device of a rollout: its turn, and how that ended."""

    id = NumberField()
    rollout_id = IntegerField()
    device = CharField()
    status = CharField(default="WAITING")  # WAITING | IN_PROGRESS | DONE | FAILED
    reason = TextField(default="")  # of one that is over
    wave = IntegerField(default=0)  # from 1; 0: it has not begun
    step = CharField(default="")  # the last wish written for it: push | load
    service_id = CharField(default="")
    made_copy = BooleanField(default=False)  # nobody had wished for the file before
    made_load = BooleanField(default=False)
    begun_ms = BigIntegerField(null=True)
    ended_ms = BigIntegerField(null=True)

    class Meta:
        indexes = ((("rollout_id", "status", "id"), False),)


class SchedulePolicy(Table):
    """How the work of one capability, or all work, is placed, moved and scaled."""

    id = CharField(primary_key=True)
    name = TextField(default="")
    capability = CharField(default="", unique=True)  # "": all that have none of their own
    strategy = CharField(default="spread")  # spread | pack | nearest
    failover = CharField(default="gap")  # gap | double
    delay_seconds = IntegerField(default=0)
    priority = IntegerField(default=0)
    preempts = BooleanField(default=False)
    classes = JsonField()  # of PriorityClass
    scaling = JsonField(null=True)
    created_ms = BigIntegerField()
    modified_ms = BigIntegerField()


class Pipeline(Table):
    """Results of one capability set work of another going."""

    id = CharField(primary_key=True)
    name = TextField(default="")
    enabled = BooleanField(default=True)
    capability = CharField()  # whose results count
    event_ids = JsonField()  # these four: [] or 0 where all do
    min_score = FloatField(default=0.0)
    area_ids = JsonField()
    plan_ids = JsonField()
    interval_seconds = IntegerField(default=60)
    action = CharField()  # TASK | PICTURE
    target = CharField()  # the capability of what is set going
    rules = JsonField()  # its RulesParams
    labels = JsonField(null=True)
    priority_class = CharField(default="")
    duration_seconds = IntegerField(default=60)
    seen = IntegerField(default=0)  # results up to this one are not looked at again
    skipped = IntegerField(default=0)
    created_ms = BigIntegerField()
    modified_ms = BigIntegerField()


class PipelineRun(Table):
    """What one result, and those after it, set going."""

    id = NumberField()
    pipeline_id = CharField()
    result_id = IntegerField()
    picture = IntegerField(null=True)  # the place of the picture that is handed on
    source_id = CharField(index=True)  # the instance whose result it was
    stream = TextField()  # see decide/pipelines.stream_of
    instance_id = CharField(default="", index=True)  # what was set going
    status = CharField(default="PENDING")  # PENDING | RUNNING | DONE | FAILED
    reason = TextField(default="")
    matches = IntegerField(default=1)
    matched_ms = BigIntegerField()  # when the last result that counted came
    begun_ms = BigIntegerField(index=True)
    ended_ms = BigIntegerField(null=True, index=True)
    elapsed_seconds = FloatField(default=0.0)  # in this status, up to `mono` of `boot_id`
    mono = FloatField()
    boot_id = CharField()

    class Meta:
        indexes = ((("pipeline_id", "stream", "id"), False),)


class AuthServer(Table):
    """An authorisation server of a provider (table D.1); of each provider's one is the default."""

    id = NumberField()
    server = TextField()  # host:port, several with commas
    provider = CharField(index=True)
    is_default = BooleanField()
    created_ms = BigIntegerField()


class AuthQuota(Table):
    """What an authorisation server said last of a capability, and how asking it went."""

    server_id = IntegerField()
    capability = CharField()
    used = IntegerField(default=0)  # these two in streams, by the server's own count
    total = IntegerField(default=-1)  # -1: undeclared
    counted = IntegerField(default=0)  # streams of ours that were RUNNING when it was asked
    answered_ms = BigIntegerField(null=True)  # NULL: never
    tried_ms = BigIntegerField(null=True)  # NULL: never
    error = TextField(default="")  # of the last try
    address = TextField(default="")  # host:port that answered last

    class Meta:
        primary_key = CompositeKey("server_id", "capability")


class License(Table):
    """A licence file of a provider (table E.1), for one computility or for all that have none of their own."""

    id = NumberField()
    provider = CharField()
    device = CharField(default="")
    abilities = JsonField(null=True)  # capability -> streams; NULL: the file does not say
    path = TextField()  # from the data directory on; licences of the same content share a file
    size = BigIntegerField()
    sm3 = CharField(index=True)
    expire_ms = BigIntegerField(null=True)
    created_ms = BigIntegerField()
    ended_ms = BigIntegerField(null=True)  # when it was deleted; it gives nothing, and is no licence any more
    lapsed = BooleanField(
        default=False, constraints=[ZERO]
    )  # its grace has passed, and what had to end has ended

    class Meta:
        indexes = ((("provider", "device"), False),)


class Schema(Table):
    """Which migrations this file has seen."""

    version = IntegerField(primary_key=True)
    applied_ms = BigIntegerField()


ALL: tuple[type[Table], ...] = (
    Fact, Package, Capability, Computility, Token, Claim, Copy, Service, Load, Plan, Instance, Turn, InstanceEvent,
    Task, Intent, ForeignTask, Ask, Result, Picture, Tally, Delivery, Person, ApiKey, Audit, Alarm, Upstream,
    UpstreamToken, Rollout, RolloutMember, SchedulePolicy, Pipeline, PipelineRun, AuthServer,
    License, AuthQuota,
)  # fmt: skip
