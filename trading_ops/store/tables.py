"""The schema. `migrations/` must produce exactly this; a test compares the two.

Of a partial index, the condition is here for SQLite only, and for both in the migrations, which
make the tables: with `postgresql_where` each process would import that dialect, 2 MB.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    TypeDecorator,
    false,
    text,
)

from trading_ops.store.column_types import Facts, Words

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as microseconds since the epoch: exact on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn a datetime into microseconds; a naive one is a programming error."""
        del dialect
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Turn microseconds into a datetime in UTC."""
        del dialect
        return None if value is None else EPOCH + timedelta(microseconds=value)


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
    Column("received_at", Moment, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Words, nullable=False),
    Column("error", Words),
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
    Column("id", Words, primary_key=True),
    Column("fingerprint", Words, nullable=False),
    Column("alert", Words, nullable=False),
    Column("target", Words),
    Column("labels", Facts, nullable=False),
    Column("annotations", Facts, nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("resolved_at", Moment),
    Column("quiet_since", Moment),
    Column("escalated_at", Moment),
    Column("closed_at", Moment),
    Column("close_reason", Words),
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
    Column("id", Words, primary_key=True),
    Column("incident_id", Words, ForeignKey("incidents.id")),
    Column("runbook", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("params", Facts, nullable=False, server_default="{}"),
    Column("step", Integer, nullable=False),
    Column("delivery", Words, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("state", Words, nullable=False),
    Column("ordered_by", Words),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("verified_at", Moment),
    Column("detail", Words, nullable=False, server_default=""),
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
    Column("target", Words, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("forgiven_at", Moment),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", Words, primary_key=True),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("key", Words, primary_key=True),
    Column("replica", Words),
    Column("until", Moment),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Words, primary_key=True),
    Column("target", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("lifted_at", Moment),
    Column("lifted_by", Words),
    Column("lifted_for", Words),
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
    Column("owner", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("begins_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("lifted_at", Moment),
    Column("lifted_by", Words),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("target", Words),
    Column("owner", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("begins_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("ended_by", Words),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("incident_id", Words, ForeignKey("incidents.id"), nullable=False),
    Column("kind", Words, nullable=False),
    Column("owner", Words, nullable=False),
    Column("note", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("ended_by", Words),
    Column("silence_id", Words),
    Column("silenced_until", Moment),
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
    Column("id", Words, primary_key=True),
    Column("incident_id", Words, ForeignKey("incidents.id")),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("params", Facts, nullable=False),
    Column("digest", Words, nullable=False),
    Column("requested_by", Words, nullable=False),
    Column("requested_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("state", Words, nullable=False),
    Column("decided_by", Words),
    Column("decided_at", Moment),
    Index("ix_approvals_incident_id", "incident_id"),
    Index("ix_approvals_state", "state"),
)

readiness_runs = Table(
    "readiness_runs",
    metadata,
    Column("id", Words, primary_key=True),
    Column("bot", Words, nullable=False),
    Column("plan", Facts, nullable=False),
    Column("state", Facts, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("ended_at", Moment),
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
    # Given by the chain, without gaps: a missing number is a missing row.
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("kind", Words, nullable=False),
    Column("incident_id", Words),
    Column("attempt_id", Words),
    Column("actor", Words, nullable=False, server_default="reconciler"),
    Column("reason", Words, nullable=False, server_default=""),
    Column("note", Words, nullable=False, server_default=""),
    Column("before", Words),
    Column("after", Words),
    Column("mac", Words),
    Index("ix_events_incident_id", "incident_id"),
    Index("ix_events_at", "at"),
)

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("mac", Words, nullable=False),
    Column("signature", Words, nullable=False, server_default=""),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("kind", Words, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("mac", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("signature", Words, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    # Follows from the key and the channel: a channel gets one message about one fact.
    Column("id", Words, primary_key=True),
    Column("key", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("bot", Words),
    Column("route", Words, nullable=False),
    Column("channel", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("html", Words),
    Column("digest", Boolean, nullable=False),
    Column("state", Words, nullable=False),
    Column("batch", Words),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("next_try_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("error", Words, nullable=False, server_default=""),
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
    Column("source", Words, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

bot_events = Table(
    "bot_events",
    metadata,
    # Follows from the bot and the event's own id: read twice, it is stored once.
    Column("id", Words, primary_key=True),
    Column("bot", Words, nullable=False),
    Column("event", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("strategy", Words, nullable=False),
    Column("symbol", Words, nullable=False),
    Column("order_id", Words, nullable=False),
    Column("correlation", Words, nullable=False),
    Column("summary", Words, nullable=False),
    Column("data", Facts, nullable=False),
    # In the order in which they were stored, which is not that of their times.
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Index("ix_bot_events_at", "at", "id"),
    Index("ix_bot_events_bot_at", "bot", "at"),
    Index("ix_bot_events_seq", "seq"),
)

# One row: the last number. It is never used again, not even after its event was removed.
bot_event_head = Table(
    "bot_event_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

bot_event_cursors = Table(
    "bot_event_cursors",
    metadata,
    Column("bot", Words, primary_key=True),
    Column("journal", Words, nullable=False),
    Column("number", BigInteger, nullable=False),
)

backups = Table(
    "backups",
    metadata,
    Column("id", Words, primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("recoverable_to", Moment, nullable=False),
    Column("location", Words, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("release", Words, nullable=False),
    Column("revision", Words),
    Column("audit_head", BigInteger),
    Column("verified_at", Moment),
    Column("restore_tested_at", Moment),
    Column("restore_milliseconds", BigInteger),
    Column("problem", Words, nullable=False, server_default=""),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Words, primary_key=True),
    # Up to when due times are dealt with: run, refused or skipped.
    Column("handled_at", Moment, nullable=False),
    # A due time that a closed gate holds back, and the gate.
    Column("held_due_at", Moment),
    Column("held_by", Words),
    Column("paused_at", Moment),
    Column("paused_by", Words),
    Column("paused_reason", Words),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("job", Words, nullable=False),
    Column("due_at", Moment),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", Words, nullable=False),
    Column("detail", Words, nullable=False, server_default=""),
    Column("actor", Words, nullable=False),
    Column("replica", Words, nullable=False),
    Index("ix_job_runs_job_id", "job", "id"),
    # One run at a time, whatever became of the leases.
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
    Column("calendar", Words, primary_key=True),
    Column("opens_at", Moment, primary_key=True),
    Column("closes_at", Moment, nullable=False),
)
