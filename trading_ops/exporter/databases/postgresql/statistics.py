"""Server statistics: transactions, reads, errors, checkpoints, WAL archiving, replication."""

from trading_ops.exporter.databases.postgresql.reading import MetricQuery

DATABASE = """
SELECT xact_commit AS commits_total, xact_rollback AS rollbacks_total,
       blks_read AS blocks_read_total, blks_hit AS blocks_hit_total,
       temp_bytes AS temp_bytes_total, deadlocks AS deadlocks_total,
       conflicts AS conflicts_total, checksum_failures AS checksum_failures_total,
       coalesce(extract(epoch FROM stats_reset), 0) AS stats_reset_timestamp_seconds
FROM pg_stat_database WHERE datname = current_database()
"""

ARCHIVER = """
SELECT (current_setting('archive_mode') <> 'off')::int AS wal_archive_enabled,
       archived_count AS wal_archived_total, failed_count AS wal_archive_failures_total,
       coalesce(extract(epoch FROM last_archived_time), 0)
           AS wal_archive_last_success_timestamp_seconds,
       coalesce(extract(epoch FROM last_failed_time), 0)
           AS wal_archive_last_failure_timestamp_seconds
FROM pg_stat_archiver
"""

BEFORE_17 = "checkpoints_timed, checkpoints_req, checkpoint_write_time, checkpoint_sync_time"
SINCE_17 = "num_timed, num_requested, write_time, sync_time"

CHECKPOINTS = """
SELECT kind AS label_kind, count AS checkpoints_total
FROM (SELECT {columns} FROM {view}) AS c (timed, requested, writing, syncing),
     LATERAL (VALUES ('timed', timed), ('requested', requested)) AS k (kind, count)
"""

CHECKPOINT_TIMES = """
SELECT phase AS label_phase, milliseconds / 1000 AS checkpoint_seconds_total
FROM (SELECT {columns} FROM {view}) AS c (timed, requested, writing, syncing),
     LATERAL (VALUES ('write', writing), ('sync', syncing)) AS k (phase, milliseconds)
"""

SLOTS = """
SELECT count(*) AS replication_slots,
       count(*) FILTER (WHERE NOT active) AS inactive_replication_slots,
       coalesce(max(pg_wal_lsn_diff(here.lsn, restart_lsn)), 0)
           AS replication_slot_retained_bytes
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                  ELSE pg_current_wal_lsn() END AS lsn) AS here
JOIN pg_replication_slots ON true
"""

REPLICAS = """
SELECT count(a.pid) AS replicas,
       max(pg_wal_lsn_diff(here.lsn, a.replay_lsn)) AS replication_lag_bytes,
       CASE WHEN count(a.pid) > 0 THEN coalesce(max(extract(epoch FROM a.replay_lag)), 0) END
           AS replication_lag_seconds
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                  ELSE pg_current_wal_lsn() END AS lsn) AS here
LEFT JOIN pg_stat_replication AS a ON a.state <> 'backup'
"""

# The replay position does not show WAL that was not received. A standby that has replayed nothing
# since its start is at least that far behind.
STANDBY = """
SELECT (receivers > 0)::int AS standby_receiving,
       CASE WHEN receivers > 0 AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp()
                 - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) END
           AS standby_lag_seconds
FROM (SELECT count(*) AS receivers FROM pg_stat_wal_receiver) AS r
WHERE pg_is_in_recovery()
"""


def _checkpoints(name: str, query: str) -> tuple[MetricQuery, MetricQuery]:
    before = query.format(columns=BEFORE_17, view="pg_stat_bgwriter")
    since = query.format(columns=SINCE_17, view="pg_stat_checkpointer")
    return (
        MetricQuery(name=name, query=before, until=17),
        MetricQuery(name=name, query=since, since=17),
    )


STATISTICS = (
    MetricQuery(name="database", query=DATABASE),
    MetricQuery(name="archiver", query=ARCHIVER),
    *_checkpoints("checkpoints", CHECKPOINTS),
    *_checkpoints("checkpoint_times", CHECKPOINT_TIMES),
    MetricQuery(name="slots", query=SLOTS),
    MetricQuery(name="replicas", query=REPLICAS, privileged=True),
    MetricQuery(name="standby", query=STANDBY),
)
