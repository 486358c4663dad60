"""The schema as the first release made it, and what later ones made of it. A text that went out is never edited."""

from __future__ import annotations

FIRST = """
CREATE TABLE "alarm" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "kind" VARCHAR(255) NOT NULL,
    "subject" VARCHAR(255) NOT NULL,
    "text" TEXT NOT NULL,
    "since_ms" INTEGER NOT NULL,
    "until_ms" INTEGER
);
CREATE INDEX "alarm_kind" ON "alarm" ("kind");
CREATE INDEX "alarm_subject" ON "alarm" ("subject");
CREATE INDEX "alarm_since_ms" ON "alarm" ("since_ms");
CREATE TABLE "api_key" (
    "name" VARCHAR(255) NOT NULL PRIMARY KEY,
    "hash" VARCHAR(255) NOT NULL,
    "roles" TEXT NOT NULL,
    "organisation" TEXT NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "api_key_hash" ON "api_key" ("hash");
CREATE TABLE "ask" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "kind" VARCHAR(255) NOT NULL,
    "subject" TEXT NOT NULL,
    "arguments" TEXT NOT NULL,
    "state" VARCHAR(255) NOT NULL,
    "answer" TEXT,
    "received" INTEGER NOT NULL,
    "size" INTEGER,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE INDEX "ask_created_ms" ON "ask" ("created_ms");
CREATE TABLE "audit" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "at_ms" INTEGER NOT NULL,
    "who" VARCHAR(255) NOT NULL,
    "address" VARCHAR(255) NOT NULL,
    "operation" VARCHAR(255) NOT NULL,
    "object" TEXT NOT NULL,
    "code" INTEGER NOT NULL,
    "request_id" VARCHAR(255) NOT NULL,
    "times" INTEGER NOT NULL
);
CREATE INDEX "audit_at_ms" ON "audit" ("at_ms");
CREATE INDEX "audit_who" ON "audit" ("who");
CREATE INDEX "audit_operation" ON "audit" ("operation");
CREATE TABLE "capability" (
    "code" VARCHAR(255) NOT NULL PRIMARY KEY,
    "package_id" VARCHAR(255) NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "data_type" VARCHAR(255) NOT NULL,
    "event_ids" TEXT NOT NULL,
    "task_types" TEXT NOT NULL,
    "task_fields" TEXT NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "modified_ms" INTEGER NOT NULL
);
CREATE INDEX "capability_package_id" ON "capability" ("package_id");
CREATE TABLE "claim" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "code" VARCHAR(255) NOT NULL,
    "address" VARCHAR(255) NOT NULL,
    "type" VARCHAR(255) NOT NULL,
    "ip" VARCHAR(255) NOT NULL,
    "port" INTEGER NOT NULL,
    "username" TEXT NOT NULL,
    "password_sealed" TEXT NOT NULL,
    "support_services" INTEGER NOT NULL,
    "refused" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "seen_ms" INTEGER NOT NULL
);
CREATE INDEX "claim_code" ON "claim" ("code");
CREATE INDEX "claim_address" ON "claim" ("address");
CREATE TABLE "computility" (
    "code" VARCHAR(255) NOT NULL PRIMARY KEY,
    "type" VARCHAR(255) NOT NULL,
    "family" VARCHAR(255) NOT NULL,
    "name" TEXT NOT NULL,
    "organisation" TEXT NOT NULL,
    "network" TEXT NOT NULL,
    "location" TEXT,
    "tags" TEXT,
    "scheme" VARCHAR(255) NOT NULL,
    "ip" VARCHAR(255) NOT NULL,
    "port" INTEGER NOT NULL,
    "prefix" TEXT NOT NULL,
    "pin" VARCHAR(255),
    "auth" VARCHAR(255) NOT NULL,
    "username" TEXT NOT NULL,
    "password_sealed" TEXT,
    "support_services" INTEGER NOT NULL,
    "capabilities" TEXT,
    "stream_limit" INTEGER NOT NULL,
    "preset" INTEGER NOT NULL,
    "approved" INTEGER NOT NULL,
    "enabled" INTEGER NOT NULL,
    "maintenance" INTEGER NOT NULL,
    "registered" INTEGER NOT NULL,
    "registered_from" VARCHAR(255) NOT NULL,
    "registered_ms" INTEGER,
    "heard_ms" INTEGER,
    "answered_ms" INTEGER,
    "ever_heard" INTEGER NOT NULL,
    "ever_answered" INTEGER NOT NULL,
    "state" VARCHAR(255) NOT NULL,
    "state_since_ms" INTEGER,
    "state_reason" TEXT NOT NULL,
    "info" TEXT,
    "observed_ms" INTEGER,
    "created_ms" INTEGER NOT NULL
);
CREATE TABLE "copy" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "package_id" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "wanted" INTEGER NOT NULL,
    "asked" INTEGER NOT NULL,
    "origin" VARCHAR(255) NOT NULL,
    "status" INTEGER NOT NULL,
    "sent" INTEGER NOT NULL,
    "md5" VARCHAR(255) NOT NULL,
    "generation" INTEGER NOT NULL,
    "progress" REAL NOT NULL,
    "error" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "parked" INTEGER NOT NULL,
    "missing" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE INDEX "copy_package_id" ON "copy" ("package_id");
CREATE INDEX "copy_device" ON "copy" ("device");
CREATE UNIQUE INDEX "copy_package_id_device" ON "copy" ("package_id", "device");
CREATE TABLE "delivery" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "result_id" INTEGER NOT NULL,
    "instance_id" VARCHAR(255) NOT NULL,
    "url" TEXT NOT NULL,
    "destination" VARCHAR(255) NOT NULL,
    "attempts" INTEGER NOT NULL,
    "refusals" INTEGER NOT NULL,
    "error" TEXT NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE INDEX "delivery_result_id" ON "delivery" ("result_id");
CREATE INDEX "delivery_destination" ON "delivery" ("destination");
CREATE INDEX "delivery_created_ms" ON "delivery" ("created_ms");
CREATE UNIQUE INDEX "delivery_result_id_url" ON "delivery" ("result_id", "url");
CREATE TABLE "fact" (
    "name" VARCHAR(255) NOT NULL PRIMARY KEY,
    "value" TEXT
);
CREATE TABLE "foreign" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "device" VARCHAR(255) NOT NULL,
    "kind" VARCHAR(255) NOT NULL,
    "foreign_id" VARCHAR(255) NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "detail" TEXT,
    "seen_ms" INTEGER NOT NULL
);
CREATE INDEX "foreign_device" ON "foreign" ("device");
CREATE TABLE "instance" (
    "number" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "id" VARCHAR(255) NOT NULL,
    "plan_id" INTEGER,
    "origin" VARCHAR(255) NOT NULL,
    "caller_id" VARCHAR(255) NOT NULL,
    "type" VARCHAR(255) NOT NULL,
    "info" TEXT NOT NULL,
    "receive_urls" TEXT NOT NULL,
    "restart_policy" VARCHAR(255) NOT NULL,
    "service_id" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "on" INTEGER NOT NULL,
    "started_at_once" INTEGER NOT NULL,
    "deleted" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "stream_device_id" VARCHAR(255) NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "instance_id" ON "instance" ("id");
CREATE INDEX "instance_plan_id" ON "instance" ("plan_id");
CREATE INDEX "instance_origin" ON "instance" ("origin");
CREATE INDEX "instance_on" ON "instance" ("on");
CREATE INDEX "instance_deleted" ON "instance" ("deleted");
CREATE INDEX "instance_status" ON "instance" ("status");
CREATE INDEX "instance_stream_device_id" ON "instance" ("stream_device_id");
CREATE INDEX "instance_created_ms" ON "instance" ("created_ms");
CREATE TABLE "instance_event" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "instance_id" VARCHAR(255) NOT NULL,
    "event_id" VARCHAR(255) NOT NULL,
    "capability" VARCHAR(255) NOT NULL
);
CREATE INDEX "instance_event_instance_id" ON "instance_event" ("instance_id");
CREATE INDEX "instance_event_event_id" ON "instance_event" ("event_id");
CREATE INDEX "instance_event_capability" ON "instance_event" ("capability");
CREATE TABLE "intent" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "kind" VARCHAR(255) NOT NULL,
    "subject" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "step" VARCHAR(255) NOT NULL,
    "attempt" INTEGER NOT NULL,
    "begun_ms" INTEGER NOT NULL,
    "outcome" VARCHAR(255),
    "text" TEXT NOT NULL,
    "ended_ms" INTEGER
);
CREATE INDEX "intent_subject" ON "intent" ("subject");
CREATE TABLE "load" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "service_id" VARCHAR(255) NOT NULL,
    "package_id" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "replica" INTEGER NOT NULL,
    "wanted" INTEGER NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "sent" INTEGER NOT NULL,
    "facility_id" TEXT NOT NULL,
    "xpu_index" TEXT,
    "xpu_type" VARCHAR(255) NOT NULL,
    "xpu_quota" REAL NOT NULL,
    "error" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "parked" INTEGER NOT NULL,
    "missing" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE INDEX "load_service_id" ON "load" ("service_id");
CREATE INDEX "load_package_id" ON "load" ("package_id");
CREATE INDEX "load_device" ON "load" ("device");
CREATE INDEX "load_created_ms" ON "load" ("created_ms");
CREATE TABLE "package" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "kind" VARCHAR(255) NOT NULL,
    "provider" TEXT NOT NULL,
    "description" TEXT NOT NULL,
    "file_name" TEXT NOT NULL,
    "path" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "md5" VARCHAR(255) NOT NULL,
    "sm3" VARCHAR(255) NOT NULL,
    "manifest" TEXT NOT NULL,
    "origin" VARCHAR(255) NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "modified_ms" INTEGER NOT NULL
);
CREATE INDEX "package_created_ms" ON "package" ("created_ms");
CREATE TABLE "person" (
    "name" VARCHAR(255) NOT NULL PRIMARY KEY,
    "password" TEXT NOT NULL,
    "roles" TEXT NOT NULL,
    "organisation" TEXT NOT NULL,
    "must_change" INTEGER NOT NULL,
    "enabled" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE TABLE "picture" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "result_id" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "path" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE INDEX "picture_result_id" ON "picture" ("result_id");
CREATE INDEX "picture_path" ON "picture" ("path");
CREATE INDEX "picture_created_ms" ON "picture" ("created_ms");
CREATE TABLE "plan" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "type" VARCHAR(255) NOT NULL,
    "mode" VARCHAR(255) NOT NULL,
    "description" TEXT NOT NULL,
    "inspection" TEXT,
    "plan_day_time" TEXT,
    "auto_restart" INTEGER NOT NULL,
    "auto_start" INTEGER NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "origin" VARCHAR(255) NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "modified_ms" INTEGER NOT NULL
);
CREATE INDEX "plan_created_ms" ON "plan" ("created_ms");
CREATE TABLE "result" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "instance_id" VARCHAR(255) NOT NULL,
    "plan_id" INTEGER,
    "event_id" VARCHAR(255) NOT NULL,
    "capability" VARCHAR(255) NOT NULL,
    "device_id" VARCHAR(255) NOT NULL,
    "fingerprint" VARCHAR(255) NOT NULL,
    "event_ms" INTEGER NOT NULL,
    "body" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "raw_path" TEXT NOT NULL,
    "late" INTEGER NOT NULL,
    "error" TEXT NOT NULL,
    "received_ms" INTEGER NOT NULL
);
CREATE INDEX "result_instance_id" ON "result" ("instance_id");
CREATE INDEX "result_plan_id" ON "result" ("plan_id");
CREATE INDEX "result_event_id" ON "result" ("event_id");
CREATE INDEX "result_capability" ON "result" ("capability");
CREATE INDEX "result_device_id" ON "result" ("device_id");
CREATE UNIQUE INDEX "result_fingerprint" ON "result" ("fingerprint");
CREATE INDEX "result_event_ms" ON "result" ("event_ms");
CREATE INDEX "result_size" ON "result" ("size");
CREATE INDEX "result_received_ms" ON "result" ("received_ms");
CREATE TABLE "service" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "package_id" VARCHAR(255) NOT NULL,
    "env" TEXT NOT NULL,
    "args" TEXT,
    "license_url" TEXT,
    "replicas" INTEGER NOT NULL,
    "origin" VARCHAR(255) NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE INDEX "service_package_id" ON "service" ("package_id");
CREATE INDEX "service_created_ms" ON "service" ("created_ms");
CREATE TABLE "task" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "instance_id" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "load_id" VARCHAR(255),
    "wanted" VARCHAR(255) NOT NULL,
    "sent" INTEGER NOT NULL,
    "task_id" VARCHAR(255) NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "labels" TEXT,
    "capabilities" TEXT,
    "revision" INTEGER NOT NULL,
    "policy" VARCHAR(255) NOT NULL,
    "attempts" INTEGER NOT NULL,
    "parked" INTEGER NOT NULL,
    "missing" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE INDEX "task_instance_id" ON "task" ("instance_id");
CREATE INDEX "task_device" ON "task" ("device");
CREATE INDEX "task_load_id" ON "task" ("load_id");
CREATE INDEX "task_task_id" ON "task" ("task_id");
CREATE TABLE "token" (
    "hash" VARCHAR(255) NOT NULL PRIMARY KEY,
    "code" VARCHAR(255) NOT NULL,
    "role" VARCHAR(255) NOT NULL,
    "sealed" TEXT NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "used_ms" INTEGER,
    "dies_ms" INTEGER
);
CREATE INDEX "token_code" ON "token" ("code");
CREATE TABLE "upstream" (
    "code" VARCHAR(255) NOT NULL PRIMARY KEY,
    "state" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "public_key" TEXT NOT NULL,
    "changed_ms" INTEGER NOT NULL
);
CREATE TABLE "upstream_token" (
    "hash" VARCHAR(255) NOT NULL PRIMARY KEY,
    "code" VARCHAR(255) NOT NULL,
    "sealed" TEXT NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "dies_ms" INTEGER
);
CREATE INDEX "upstream_token_code" ON "upstream_token" ("code");
"""

FOREIGN_THINGS = """
ALTER TABLE "copy" ADD COLUMN "ours" INTEGER NOT NULL DEFAULT 1;
ALTER TABLE "copy" ADD COLUMN "name" TEXT NOT NULL DEFAULT '';
ALTER TABLE "copy" ADD COLUMN "version" TEXT NOT NULL DEFAULT '';
ALTER TABLE "copy" ADD COLUMN "kind" VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE "load" ADD COLUMN "ours" INTEGER NOT NULL DEFAULT 1;
DROP TABLE "foreign";
CREATE TABLE "foreign_task" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "device" VARCHAR(255) NOT NULL,
    "task_id" VARCHAR(255) NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "stream_url" TEXT NOT NULL,
    "event_ids" TEXT NOT NULL,
    "service_id" TEXT NOT NULL,
    "labels" TEXT,
    "policy" VARCHAR(255) NOT NULL,
    "info" TEXT,
    "digest" VARCHAR(255) NOT NULL,
    "seen_ms" INTEGER NOT NULL
);
CREATE INDEX "foreign_task_device" ON "foreign_task" ("device");
CREATE UNIQUE INDEX "foreign_task_device_task_id" ON "foreign_task" ("device", "task_id");
"""
"""What is on devices and not ours: packages and services among the others, tasks in a table of their own.
The next look at each device fills it again."""

PAGES = """
DROP INDEX "instance_plan_id";
CREATE INDEX "instance_plan_id_deleted" ON "instance" ("plan_id", "deleted");
"""
"""A page of a plan's instances out of ten thousand, and their number, from the index alone."""

PLAN_TIMES = """
ALTER TABLE "plan" ADD COLUMN "round" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "instance" ADD COLUMN "started" INTEGER NOT NULL DEFAULT 0;
UPDATE "instance" SET "started" = "on";
ALTER TABLE "instance" ADD COLUMN "next" TEXT;
CREATE TABLE "turn" (
    "instance_id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "plan_id" INTEGER NOT NULL,
    "round" INTEGER NOT NULL,
    "phase" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "elapsed_seconds" REAL NOT NULL,
    "mono" REAL NOT NULL,
    "boot_id" VARCHAR(255) NOT NULL
);
CREATE INDEX "turn_plan_id" ON "turn" ("plan_id");
"""
"""Windows of the week, rounds of inspections, and what a running instance becomes at its next start."""

ROLLOUTS = """
CREATE TABLE "rollout" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "package_id" VARCHAR(255) NOT NULL,
    "load" INTEGER NOT NULL,
    "env" TEXT NOT NULL,
    "license_url" TEXT,
    "most" INTEGER NOT NULL,
    "threshold" INTEGER NOT NULL,
    "windows" TEXT,
    "paused" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "changed_ms" INTEGER NOT NULL,
    "ended_ms" INTEGER
);
CREATE INDEX "rollout_ended_ms" ON "rollout" ("ended_ms");
CREATE TABLE "rollout_member" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "rollout_id" INTEGER NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "wave" INTEGER NOT NULL,
    "step" VARCHAR(255) NOT NULL,
    "service_id" VARCHAR(255) NOT NULL,
    "made_copy" INTEGER NOT NULL,
    "made_load" INTEGER NOT NULL,
    "begun_ms" INTEGER,
    "ended_ms" INTEGER
);
CREATE INDEX "rollout_member_rollout_id_status_id" ON "rollout_member" ("rollout_id", "status", "id");
"""
"""One package for many devices in waves, and its members."""

SCHEDULING = """
ALTER TABLE "task" ADD COLUMN "why" TEXT NOT NULL DEFAULT '';
ALTER TABLE "task" ADD COLUMN "replaces" INTEGER;
CREATE INDEX "task_replaces" ON "task" ("replaces");
ALTER TABLE "instance" ADD COLUMN "priority_class" VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE "instance" ADD COLUMN "preempted_by" TEXT NOT NULL DEFAULT '';
CREATE TABLE "schedule_policy" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "capability" VARCHAR(255) NOT NULL,
    "strategy" VARCHAR(255) NOT NULL,
    "failover" VARCHAR(255) NOT NULL,
    "delay_seconds" INTEGER NOT NULL,
    "priority" INTEGER NOT NULL,
    "preempts" INTEGER NOT NULL,
    "classes" TEXT NOT NULL,
    "scaling" TEXT,
    "created_ms" INTEGER NOT NULL,
    "modified_ms" INTEGER NOT NULL
);
CREATE UNIQUE INDEX "schedule_policy_capability" ON "schedule_policy" ("capability");
"""
"""Why each place was chosen, which one it stands in for, who took one away; and the policies that say how."""

PIPELINES = """
ALTER TABLE "instance" ADD COLUMN "capability" VARCHAR(255) NOT NULL DEFAULT '';
CREATE TABLE "pipeline" (
    "id" VARCHAR(255) NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "enabled" INTEGER NOT NULL,
    "capability" VARCHAR(255) NOT NULL,
    "event_ids" TEXT NOT NULL,
    "min_score" REAL NOT NULL,
    "area_ids" TEXT NOT NULL,
    "plan_ids" TEXT NOT NULL,
    "interval_seconds" INTEGER NOT NULL,
    "action" VARCHAR(255) NOT NULL,
    "target" VARCHAR(255) NOT NULL,
    "rules" TEXT NOT NULL,
    "labels" TEXT,
    "priority_class" VARCHAR(255) NOT NULL,
    "duration_seconds" INTEGER NOT NULL,
    "seen" INTEGER NOT NULL,
    "skipped" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL,
    "modified_ms" INTEGER NOT NULL
);
CREATE TABLE "pipeline_run" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "pipeline_id" VARCHAR(255) NOT NULL,
    "result_id" INTEGER NOT NULL,
    "picture" INTEGER,
    "source_id" VARCHAR(255) NOT NULL,
    "stream" TEXT NOT NULL,
    "instance_id" VARCHAR(255) NOT NULL,
    "status" VARCHAR(255) NOT NULL,
    "reason" TEXT NOT NULL,
    "matches" INTEGER NOT NULL,
    "matched_ms" INTEGER NOT NULL,
    "begun_ms" INTEGER NOT NULL,
    "ended_ms" INTEGER,
    "elapsed_seconds" REAL NOT NULL,
    "mono" REAL NOT NULL,
    "boot_id" VARCHAR(255) NOT NULL
);
CREATE INDEX "pipeline_run_instance_id" ON "pipeline_run" ("instance_id");
CREATE INDEX "pipeline_run_source_id" ON "pipeline_run" ("source_id");
CREATE INDEX "pipeline_run_ended_ms" ON "pipeline_run" ("ended_ms");
CREATE INDEX "pipeline_run_begun_ms" ON "pipeline_run" ("begun_ms");
CREATE INDEX "pipeline_run_pipeline_id_stream_id" ON "pipeline_run" ("pipeline_id", "stream", "id");
"""
"""What sets work going for results, its runs, and the capability that alone may serve what it sets going."""

READY_SECONDS = """
ALTER TABLE "rollout" ADD COLUMN "min_ready" INTEGER NOT NULL DEFAULT 0;
"""
"""How long the services of a rollout have to run before they count."""

SEARCHES = """
DROP INDEX "instance_status";
DROP INDEX "instance_stream_device_id";
DROP INDEX "instance_created_ms";
CREATE INDEX "instance_deleted_plan_id" ON "instance" ("deleted", "plan_id");
CREATE INDEX "instance_deleted_status" ON "instance" ("deleted", "status");
CREATE INDEX "instance_deleted_stream_device_id" ON "instance" ("deleted", "stream_device_id");
CREATE INDEX "instance_deleted_created_ms" ON "instance" ("deleted", "created_ms");
DROP INDEX "instance_event_instance_id";
CREATE INDEX "instance_deleted_id_plan_id" ON "instance" ("deleted", "id", "plan_id");
CREATE INDEX "instance_event_instance_id_capability_event_id" ON \
"instance_event" ("instance_id", "capability", "event_id");
"""
"""Every search leaves out what is deleted: with that before it, an index serves a filter and an order alike."""

AUTHORISATION = """
CREATE TABLE "auth_server" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "server" TEXT NOT NULL,
    "provider" VARCHAR(255) NOT NULL,
    "is_default" INTEGER NOT NULL,
    "created_ms" INTEGER NOT NULL
);
CREATE INDEX "auth_server_provider" ON "auth_server" ("provider");
CREATE TABLE "license" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "provider" VARCHAR(255) NOT NULL,
    "device" VARCHAR(255) NOT NULL,
    "abilities" TEXT,
    "path" TEXT NOT NULL,
    "size" INTEGER NOT NULL,
    "sm3" VARCHAR(255) NOT NULL,
    "expire_ms" INTEGER,
    "created_ms" INTEGER NOT NULL
);
CREATE INDEX "license_sm3" ON "license" ("sm3");
CREATE INDEX "license_provider_device" ON "license" ("provider", "device");
"""
"""Where providers' packages ask for their authorisation: online, and offline in files."""

EVENTS_BY_NUMBER = """
CREATE TABLE "instance_event_by_number" (
    "id" INTEGER NOT NULL PRIMARY KEY,
    "instance_number" INTEGER NOT NULL,
    "event_id" VARCHAR(255) NOT NULL,
    "capability" VARCHAR(255) NOT NULL
);
INSERT INTO "instance_event_by_number" SELECT e."id", i."number", e."event_id", e."capability" \
FROM "instance_event" e JOIN "instance" i ON i."id" = e."instance_id";
DROP TABLE "instance_event";
ALTER TABLE "instance_event_by_number" RENAME TO "instance_event";
CREATE INDEX "instance_event_event_id" ON "instance_event" ("event_id");
CREATE INDEX "instance_event_capability" ON "instance_event" ("capability");
CREATE INDEX "instance_event_instance_number_capability_event_id" ON \
"instance_event" ("instance_number", "capability", "event_id");
DROP INDEX "instance_deleted_id_plan_id";
"""
"""A search by capability looks ten thousand instances up: by number that costs half of what it costs by id."""

ONLINE_QUOTAS = """
CREATE TABLE "auth_quota" (
    "server_id" INTEGER NOT NULL,
    "capability" VARCHAR(255) NOT NULL,
    "used" INTEGER NOT NULL,
    "total" INTEGER NOT NULL,
    "counted" INTEGER NOT NULL,
    "answered_ms" INTEGER,
    "tried_ms" INTEGER,
    "error" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    PRIMARY KEY ("server_id", "capability")
);
"""
"""What authorisation servers said of their quotas, which outlives a restart."""

LAPSES = """
ALTER TABLE "license" ADD COLUMN "ended_ms" INTEGER;
ALTER TABLE "license" ADD COLUMN "lapsed" INTEGER NOT NULL DEFAULT 0;
CREATE INDEX "ask_kind_state" ON "ask" ("kind", "state");
"""
"""A licence that was deleted is remembered until what runs by it has had its grace. Of the stored questions those that
wait are looked for in every pass, among all that were answered."""

PLATFORMS = """
ALTER TABLE "copy" ADD COLUMN "lacks_program" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "computility" ADD COLUMN "usage_unit" VARCHAR(255) NOT NULL DEFAULT 'auto';
ALTER TABLE "service" ADD COLUMN "host" VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE "service" ADD COLUMN "xpu_type" VARCHAR(255) NOT NULL DEFAULT '';
"""
"""Central analysis platforms: executables that travel by themselves, services bound to a node or a card."""

TALLIES = """
CREATE TABLE "tally" (
    "name" VARCHAR(255) NOT NULL PRIMARY KEY,
    "number" INTEGER NOT NULL,
    "size" INTEGER NOT NULL
);
INSERT INTO "tally" SELECT 'results', COUNT(*), COALESCE(SUM("size"), 0) FROM "result";
INSERT INTO "tally" SELECT 'pictures', COUNT(*), COALESCE(SUM("size"), 0) FROM "picture";
INSERT INTO "tally" SELECT 'to ' || "destination", COUNT(*), 0 FROM "delivery" GROUP BY "destination";
CREATE TRIGGER "result_added" AFTER INSERT ON "result" BEGIN \
UPDATE "tally" SET "number" = "number" + 1, "size" = "size" + NEW."size" WHERE "name" = 'results'; END;
CREATE TRIGGER "result_dropped" AFTER DELETE ON "result" BEGIN \
UPDATE "tally" SET "number" = "number" - 1, "size" = "size" - OLD."size" WHERE "name" = 'results'; END;
CREATE TRIGGER "picture_added" AFTER INSERT ON "picture" BEGIN \
UPDATE "tally" SET "number" = "number" + 1, "size" = "size" + NEW."size" WHERE "name" = 'pictures'; END;
CREATE TRIGGER "picture_dropped" AFTER DELETE ON "picture" BEGIN \
UPDATE "tally" SET "number" = "number" - 1, "size" = "size" - OLD."size" WHERE "name" = 'pictures'; END;
CREATE TRIGGER "delivery_added" AFTER INSERT ON "delivery" BEGIN \
INSERT INTO "tally" VALUES ('to ' || NEW."destination", 1, 0) \
ON CONFLICT ("name") DO UPDATE SET "number" = "number" + 1; END;
CREATE TRIGGER "delivery_dropped" AFTER DELETE ON "delivery" BEGIN \
UPDATE "tally" SET "number" = "number" - 1 WHERE "name" = 'to ' || OLD."destination"; \
DELETE FROM "tally" WHERE "name" = 'to ' || OLD."destination" AND "number" = 0; END;
"""
"""How many results, pictures and deliveries there are, kept by SQLite itself: counting a million takes a tenth of a
second, and would be done after every write."""

CHAINS = """
ALTER TABLE "upstream" ADD COLUMN "via" TEXT NOT NULL DEFAULT '';
"""
"""The platforms behind a platform above: what it asks of us is not asked of any of them again."""

CLUSTERS = """
ALTER TABLE "computility" ADD COLUMN "cluster" TEXT NOT NULL DEFAULT '';
ALTER TABLE "computility" ADD COLUMN "nodes" TEXT;
ALTER TABLE "computility" ADD COLUMN "namespace" TEXT NOT NULL DEFAULT '';
ALTER TABLE "load" ADD COLUMN "replicas" INTEGER;
ALTER TABLE "load" ADD COLUMN "ready" INTEGER;
UPDATE "computility" SET "cluster" = COALESCE(json_extract("location", '$.Cluster'), ''), \
"nodes" = json_extract("location", '$.Nodes'), "location" = NULL \
WHERE "family" = 'ccp' AND json_extract("location", '$.Cluster') IS NOT NULL;
"""
"""Central computing platforms: which cluster and nodes, and how many replicas a workload has. Cluster and nodes that
were entered before stood where others have their place on the map."""
