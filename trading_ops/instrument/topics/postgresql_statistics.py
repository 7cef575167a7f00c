"""PostgreSQL: statistics, checkpoints, WAL archiving and replication."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

CHECKPOINT_KINDS = ("timed", "requested")
CHECKPOINT_PHASES = ("write", "sync")

_gauge = partial(exporter_gauge, labels=("database",))
_counter = partial(exporter_counter, labels=("database",))

POSTGRESQL_STATISTICS: tuple[Metric, ...] = (
    _counter(
        name="trading_postgresql_commits_total",
        help="Committed transactions of the database.",
        why="0: no activity.",
    ),
    _counter(
        name="trading_postgresql_rollbacks_total",
        help="Rolled back transactions of the database.",
        why="A rising ratio means failing statements.",
    ),
    _counter(
        name="trading_postgresql_blocks_read_total",
        help="Blocks not found in shared buffers.",
        why="With the hits, the cache hit ratio.",
    ),
    _counter(
        name="trading_postgresql_blocks_hit_total",
        help="Blocks found in shared buffers.",
        why="A falling hit ratio: the data outgrew the memory, or an index is missing.",
    ),
    _counter(
        name="trading_postgresql_temp_bytes_total",
        unit="bytes",
        help="Bytes written to temporary files by the database's queries.",
        why="A sort or join does not fit into work_mem.",
    ),
    _counter(
        name="trading_postgresql_deadlocks_total",
        help="Deadlocks in the database.",
        why="Each one aborted a transaction.",
    ),
    _counter(
        name="trading_postgresql_conflicts_total",
        help="Queries on a standby that were cancelled due to recovery conflicts.",
        why="Queries on the standby fail.",
    ),
    _counter(
        name="trading_postgresql_checksum_failures_total",
        help="Checksum failures of data pages; absent without checksums.",
        why="The disk returns corrupt data.",
    ),
    _gauge(
        name="trading_postgresql_stats_reset_timestamp_seconds",
        unit="seconds",
        help="Time of the last statistics reset, Unix time; 0: never.",
        why="Index usage counts start at this time.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_enabled",
        help="1 if WAL archiving is on, else 0.",
        why="Without it a restore ends at the last base backup.",
    ),
    _counter(
        name="trading_postgresql_wal_archived_total",
        help="Archived WAL files.",
        why="None for long: an idle server or a hung archiver.",
    ),
    _counter(
        name="trading_postgresql_wal_archive_failures_total",
        help="Failed attempts to archive a WAL file.",
        why="WAL accumulates until the disk is full, and a restore lacks unarchived changes.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_success_timestamp_seconds",
        unit="seconds",
        help="Time at which a WAL file was last archived, Unix time; 0: never.",
        why="Later changes are lost with the machine.",
    ),
    _gauge(
        name="trading_postgresql_wal_archive_last_failure_timestamp_seconds",
        unit="seconds",
        help="Time at which archiving last failed, Unix time; 0: never.",
        why="Later than the last success: archiving is failing.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoints_total",
        labels=("database", "kind"),
        values={"kind": CHECKPOINT_KINDS},
        help="Checkpoints, timed or requested.",
        why="Many requested ones: max_wal_size is too small.",
    ),
    exporter_counter(
        name="trading_postgresql_checkpoint_seconds_total",
        unit="seconds",
        labels=("database", "phase"),
        values={"phase": CHECKPOINT_PHASES},
        help="Time spent in checkpoints, by phase.",
        why="Long sync phases: the disk cannot keep up.",
    ),
    _gauge(
        name="trading_postgresql_replication_slots",
        help="Replication slots of the server.",
        why="Each one retains WAL for its consumer.",
    ),
    _gauge(
        name="trading_postgresql_inactive_replication_slots",
        help="Inactive replication slots.",
        why="WAL is retained for a consumer that may never return.",
    ),
    _gauge(
        name="trading_postgresql_replication_slot_retained_bytes",
        unit="bytes",
        help="WAL retained for the slot with the largest lag.",
        why="Retained WAL fills the disk.",
    ),
    _gauge(
        name="trading_postgresql_replicas",
        help="Connected replicas.",
        why="Too few: a failover would lose data or have no standby.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_bytes",
        unit="bytes",
        help="Largest replay lag of the replicas in bytes of WAL; absent without replicas.",
        why="The changes that a failover has to replay or loses.",
    ),
    _gauge(
        name="trading_postgresql_replication_lag_seconds",
        unit="seconds",
        help="Largest replication lag of the replicas; absent without replicas.",
        why="Reads from the replica are this old.",
    ),
    _gauge(
        name="trading_postgresql_standby_receiving",
        help="1 if this standby receives WAL, else 0; absent on a primary.",
        why="A standby that receives no WAL falls behind unnoticed.",
    ),
    _gauge(
        name="trading_postgresql_standby_lag_seconds",
        unit="seconds",
        help="Replay lag of this standby; 0: it is up to date.",
        why="The changes that a failover to it would lose.",
    ),
)
