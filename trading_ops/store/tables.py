"""The schema. `migrations/` must produce exactly this; a test compares the two.

A column with `key=` keeps the name that older releases read; the code uses its key.

The condition of a partial index is given here for SQLite only, and for both databases in the
migrations, which create the tables: `postgresql_where` would import that dialect (2 MB) everywhere.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    false,
    text,
)

from trading_ops.store.engine import StorableJson, StorableText, Timestamp

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite auto-increments only a column declared exactly as INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

notifications = Table(
    "notifications",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("received_at", Timestamp, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("error", StorableText),
    Column("watchdog", Boolean, nullable=False, server_default=false()),
    Index(
        "ix_notifications_pending",
        "id",
        sqlite_where=text("state = 'pending'"),
    ),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("fingerprint", StorableText, nullable=False),
    Column("alert", StorableText, nullable=False),
    Column("target", StorableText),
    Column("labels", StorableJson, nullable=False),
    Column("annotations", StorableJson, nullable=False),
    Column("starts_at", Timestamp, nullable=False),
    Column("received_at", Timestamp, nullable=False),
    Column("opened_at", Timestamp, nullable=False),
    Column("resolved_at", Timestamp),
    Column("quiet_since", Timestamp),
    Column("escalated_at", Timestamp),
    Column("closed_at", Timestamp),
    Column("close_reason", StorableText),
    Index("ix_incidents_opened_at", "opened_at"),
    Index("ix_incidents_closed_at", "closed_at"),
    Index("ix_incidents_fingerprint_opened_at", "fingerprint", "opened_at"),
    Index(
        "ux_incidents_open",
        "fingerprint",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
    ),
)

RUNNING_SQL = "state IN ('started', 'unknown', 'succeeded') AND delivery <> 'safe_direction'"

attempts = Table(
    "attempts",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("incident_id", StorableText, ForeignKey("incidents.id")),
    Column("runbook", StorableText, nullable=False),
    Column("target", StorableText, nullable=False),
    Column("action", StorableText, nullable=False),
    Column("params", StorableJson, nullable=False, server_default="{}"),
    Column("step", Integer, nullable=False),
    Column("delivery", StorableText, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("ordered_by", StorableText, key="requested_by"),
    Column("started_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Column("verified_at", Timestamp),
    Column("detail", StorableText, nullable=False, server_default=""),
    Index("ix_attempts_incident_id", "incident_id"),
    Index("ix_attempts_target_started_at", "target", "started_at"),
    Index("ix_attempts_started_at", "started_at"),
    # Enforces one action at a time per target, for every replica.
    Index(
        "ux_attempts_running",
        "target",
        unique=True,
        sqlite_where=text(RUNNING_SQL),
    ),
)

fences = Table(
    "fences",
    metadata,
    Column("target", StorableText, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("forgiven_at", Timestamp, key="budget_reset_at"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", StorableText, primary_key=True),
    Column("started_at", Timestamp, nullable=False),
    Column("seen_at", Timestamp, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("key", StorableText, primary_key=True),
    Column("replica", StorableText),
    Column("until", Timestamp),
)

holds = Table(
    "holds",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("target", StorableText, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("owner", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("lifted_at", Timestamp, key="released_at"),
    Column("lifted_by", StorableText, key="released_by"),
    Column("lifted_for", StorableText, key="released_for"),
    Index(
        "ix_holds_standing",
        "target",
        sqlite_where=text("lifted_at IS NULL"),
    ),
)

pauses = Table(
    "pauses",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("owner", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("begins_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("lifted_at", Timestamp, key="ended_at"),
    Column("lifted_by", StorableText, key="ended_by"),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("target", StorableText),
    Column("owner", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("begins_at", Timestamp, nullable=False),
    Column("ends_at", Timestamp, nullable=False),
    Column("ended_by", StorableText),
)

recurring_windows = Table(
    "recurring_windows",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("target", StorableText),
    Column("owner", StorableText, nullable=False),
    Column("reason", StorableText, nullable=False),
    Column("every", StorableText, nullable=False),
    Column("zone", StorableText, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Column("ended_by", StorableText),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("incident_id", StorableText, ForeignKey("incidents.id"), nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("owner", StorableText, nullable=False),
    Column("note", StorableText, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("until", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Column("ended_by", StorableText),
    Column("silence_id", StorableText),
    Column("silenced_until", Timestamp),
    Index("ix_acknowledgements_incident_id", "incident_id"),
    # One acknowledgement per incident; a new one first ends the previous one.
    Index(
        "ux_acknowledgements_standing",
        "incident_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
    ),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("incident_id", StorableText, ForeignKey("incidents.id")),
    Column("action", StorableText, nullable=False),
    Column("target", StorableText, nullable=False),
    Column("params", StorableJson, nullable=False),
    Column("digest", StorableText, nullable=False),
    Column("requested_by", StorableText, nullable=False),
    Column("requested_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("decided_by", StorableText),
    Column("decided_at", Timestamp),
    Index("ix_approvals_incident_id", "incident_id"),
    Index("ix_approvals_state", "state"),
)

readiness_runs = Table(
    "readiness_runs",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("bot", StorableText, nullable=False),
    Column("plan", StorableJson, nullable=False),
    Column("state", StorableJson, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("begun_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Index("ix_readiness_runs_bot", "bot"),
    Index(
        "ux_readiness_runs_open",
        "bot",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
    ),
)

events = Table(
    "events",
    metadata,
    # Assigned by the chain without gaps: a missing number is a missing row.
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("at", Timestamp, nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("incident_id", StorableText),
    Column("attempt_id", StorableText),
    Column("actor", StorableText, nullable=False, server_default="reconciler"),
    Column("reason", StorableText, nullable=False, server_default=""),
    Column("note", StorableText, nullable=False, server_default=""),
    Column("before", StorableText),
    Column("after", StorableText),
    Column("mac", StorableText),
    Index("ix_events_incident_id", "incident_id"),
    Index("ix_events_at", "at"),
)

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("mac", StorableText, nullable=False),
    Column("signature", StorableText, nullable=False, server_default=""),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("kind", StorableText, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("mac", StorableText, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("signature", StorableText, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    # Derived from the key and the channel: a channel gets one message about one fact.
    Column("id", StorableText, primary_key=True),
    Column("key", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("severity", StorableText, nullable=False),
    Column("bot", StorableText),
    Column("route", StorableText, nullable=False),
    Column("channel", StorableText, nullable=False),
    Column("subject", StorableText, nullable=False),
    Column("text", StorableText, nullable=False),
    Column("html", StorableText),
    Column("digest", Boolean, nullable=False),
    Column("state", StorableText, nullable=False),
    Column("batch", StorableText),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Timestamp, nullable=False),
    Column("due_at", Timestamp, nullable=False),
    Column("next_try_at", Timestamp, nullable=False),
    Column("sent_at", Timestamp),
    Column("error", StorableText, nullable=False, server_default=""),
    Index("ix_messages_created_at", "created_at"),
    Index("ix_messages_batch", "batch"),
    Index("ix_messages_channel_sent_at", "channel", "sent_at"),
    Index(
        "ix_messages_unsent",
        "channel",
        "next_try_at",
        sqlite_where=text("state IN ('waiting', 'sending', 'dead')"),
    ),
)

message_cursors = Table(
    "message_cursors",
    metadata,
    Column("source", StorableText, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

bot_events = Table(
    "bot_events",
    metadata,
    # Derived from the bot and the event's own id: read twice, it is stored once.
    Column("id", StorableText, primary_key=True),
    Column("bot", StorableText, nullable=False),
    Column("event", StorableText, nullable=False),
    Column("kind", StorableText, nullable=False),
    Column("severity", StorableText, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("received_at", Timestamp, nullable=False),
    Column("strategy", StorableText, nullable=False),
    Column("symbol", StorableText, nullable=False),
    Column("order_id", StorableText, nullable=False),
    Column("correlation", StorableText, nullable=False),
    Column("summary", StorableText, nullable=False),
    Column("data", StorableJson, nullable=False),
    # In storage order, which is not the order of their times.
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Index("ix_bot_events_at", "at", "id"),
    Index("ix_bot_events_bot_at", "bot", "at"),
    Index("ix_bot_events_seq", "seq"),
)

# One row: the last number. A number is never reused, not even after its event was removed.
bot_event_head = Table(
    "bot_event_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

bot_event_cursors = Table(
    "bot_event_cursors",
    metadata,
    Column("bot", StorableText, primary_key=True),
    Column("journal", StorableText, nullable=False),
    Column("number", BigInteger, nullable=False),
)

backups = Table(
    "backups",
    metadata,
    Column("id", StorableText, primary_key=True),
    Column("created_at", Timestamp, nullable=False),
    Column("recoverable_to", Timestamp, nullable=False),
    Column("location", StorableText, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("release", StorableText, nullable=False),
    Column("revision", StorableText),
    Column("audit_head", BigInteger),
    Column("verified_at", Timestamp),
    Column("restore_tested_at", Timestamp),
    Column("restore_milliseconds", BigInteger),
    Column("problem", StorableText, nullable=False, server_default=""),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", StorableText, primary_key=True),
    # Time up to which due times are handled: run, refused or skipped.
    Column("handled_at", Timestamp, nullable=False),
    # A due time that waits for a closed gate, and the gate.
    Column("held_due_at", Timestamp),
    Column("held_by", StorableText),
    Column("paused_at", Timestamp),
    Column("paused_by", StorableText),
    Column("paused_reason", StorableText),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("job", StorableText, nullable=False),
    Column("due_at", Timestamp),
    Column("started_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp),
    Column("outcome", StorableText, nullable=False),
    Column("detail", StorableText, nullable=False, server_default=""),
    Column("actor", StorableText, nullable=False),
    Column("replica", StorableText, nullable=False),
    Index("ix_job_runs_job_id", "job", "id"),
    # One run at a time, regardless of the leases.
    Index(
        "ux_job_runs_running",
        "job",
        unique=True,
        sqlite_where=text("outcome = 'running'"),
    ),
)

trading_sessions = Table(
    "trading_sessions",
    metadata,
    Column("calendar", StorableText, primary_key=True),
    Column("opens_at", Timestamp, primary_key=True),
    Column("closes_at", Timestamp, nullable=False),
)
