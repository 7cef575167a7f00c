"""PostgreSQL: what the server counts, its checkpoints, archived WAL and replication."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

CHECKPOINT_KINDS = ("timed", "requested")
CHECKPOINT_PHASES = ("write", "sync")

_gauge = partial(exporter_gauge, labels=("database",))
_counter = partial(exporter_counter, labels=("database",))

POSTGRESQL_STATISTICS: tuple[Metric, ...] = (
    _counter(
        name="trading_postgresql_commits_total",
        help="Transactions of the database that were committed.",
        why="None: nobody writes.",
    ),
    _counter(
        name="trading_postgresql_rollbacks_total",
        help="Transactions of the database that were rolled back.",
        why="A rising share: statements fail.",
    ),
    _counter(
        name="trading_postgresql_blocks_read_total",
        help="Blocks that were not in the server's own cache.",
        why="With the hits it tells how well the cache serves.",
    ),
    _counter(
        name="trading_postgresql_blocks_hit_total",
        help="Blocks that were found in the server's own cache.",
        why="A falling share of all: the data outgrew the memory, or an index is missing.",
    ),
    _counter(
        name="trading_postgresql_temp_bytes_total",
        unit="bytes",
        help="Bytes written to temporary files by the database's queries.",
        why="A sort or a join does not fit into its memory.",
    ),
    _counter(
        name="trading_postgresql_deadlocks_total",
        help="Deadlocks that were found in the database.",
        why="Each one lost somebody's transaction.",
    ),
    _counter(
        name="trading_postgresql_conflicts_total",
        help="Queries that a standby cancelled because they were in the way of recovery.",
        why="Reports from a standby fail.",
    ),
    _counter(
        name="trading_postgresql_checksum_failures_total",
        help="Pages of the database whose checksum was wrong; absent without checksums.",
        why="The disk gives back other bytes than it was given.",
    ),
    _gauge(
        name="trading_postgresql_stats_reset_timestamp_seconds",
        unit="seconds",
        help="Time since which the database's statistics count, since the epoch; 0 for ever.",
        why="An index is unused since then, and no longer.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_enabled",
        help="1 when the server archives its WAL, else 0.",
        why="Without it a restore ends at the last backup.",
    ),
    _counter(
        name="trading_postgresql_wal_archived_total",
        help="WAL files that were archived.",
        why="None for long: a quiet server, or an archiver that hangs.",
    ),
    _counter(
        name="trading_postgresql_wal_archive_failures_total",
        help="Attempts to archive a WAL file that failed.",
        why="WAL stays until the disk is full, and a restore lacks what was not archived.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_success_timestamp_seconds",
        unit="seconds",
        help="Time at which a WAL file was last archived, since the epoch; 0 for never.",
        why="What came later is lost with the machine.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_failure_timestamp_seconds",
        unit="seconds",
        help="Time at which archiving last failed, since the epoch; 0 for never.",
        why="Later than the last success: it fails now.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoints_total",
        labels=("database", "kind"),
        values={"kind": CHECKPOINT_KINDS},
        help="Checkpoints, by whether their time had come or somebody asked for them.",
        why="Many that were asked for: max_wal_size is too small for what is written.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoint_seconds_total",
        unit="seconds",
        labels=("database", "phase"),
        values={"phase": CHECKPOINT_PHASES},
        help="Time spent in checkpoints, by phase.",
        why="Much in sync: the disk cannot keep up.",
    ),
    _gauge(
        name="trading_postgresql_replication_slots",
        help="Replication slots of the server.",
        why="Each one keeps WAL for its reader.",
    ),
    _gauge(
        name="trading_postgresql_inactive_replication_slots",
        help="Replication slots that nobody reads from.",
        why="WAL is kept for somebody who may never come back.",
    ),
    _gauge(
        name="trading_postgresql_replication_slot_retained_bytes",
        unit="bytes",
        help="WAL that is kept for the slot that is furthest behind.",
        why="It fills the disk.",
    ),
    _gauge(
        name="trading_postgresql_replicas",
        help="Replicas that are connected.",
        why="Fewer than there should be: a failover would lose data, or find nobody.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_bytes",
        unit="bytes",
        help="WAL that the replica furthest behind has not replayed; absent without replicas.",
        why="What a failover would have to catch up with, or lose.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_seconds",
        unit="seconds",
        help="Time by which the slowest replica is late; absent without replicas.",
        why="Reads from the replica are that old.",
    ),
    _gauge(
        name="trading_postgresql_standby_receiving",
        help="1 when this standby receives WAL, else 0; absent on a primary.",
        why="A standby that receives nothing falls behind without noticing.",
    ),
    _gauge(
        name="trading_postgresql_standby_lag_seconds",
        unit="seconds",
        help="Age of the last transaction that this standby replayed; 0 when it has all.",
        why="What a failover to it would lose.",
    ),
)
