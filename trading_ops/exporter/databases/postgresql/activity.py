"""Current activity of the server: connections, transactions, locks, and what delays vacuum.

Ages use the server's clock. No query reads a user table, so none waits for its locks.
"""

from trading_ops.exporter.databases.postgresql.reading import MetricQuery

STATES = ("active", "idle", "idle_in_transaction", "idle_in_transaction_aborted", "other")

SERVER = """
SELECT pg_is_in_recovery()::int AS in_recovery,
       extract(epoch FROM pg_postmaster_start_time()) AS start_timestamp_seconds,
       slots AS connection_slots,
       (SELECT sum(numbackends) FROM pg_stat_database)::float / greatest(slots, 1)
           AS connection_slots_used_ratio,
       (SELECT max(age(datfrozenxid)) FROM pg_database) / 2147483648.0 AS xid_used_ratio,
       (SELECT max(mxid_age(datminmxid)) FROM pg_database) / 2147483648.0
           AS multixact_used_ratio
FROM (SELECT current_setting('max_connections')::int
             - current_setting('superuser_reserved_connections')::int
             - coalesce(current_setting('reserved_connections', true), '0')::int AS slots) AS s
"""

CONNECTIONS = """
SELECT s.label AS label_state, count(a.pid) AS connections
FROM (VALUES ('active', 'active'), ('idle', 'idle'),
             ('idle_in_transaction', 'idle in transaction'),
             ('idle_in_transaction_aborted', 'idle in transaction (aborted)'),
             ('other', NULL)) AS s (label, state)
LEFT JOIN pg_stat_activity AS a ON a.backend_type = 'client backend'
    AND s.state IS NOT DISTINCT FROM CASE WHEN a.state IN (
        'active', 'idle', 'idle in transaction', 'idle in transaction (aborted)') THEN a.state END
GROUP BY s.label
"""

AGES = """
SELECT coalesce(extract(epoch FROM now.at - min(xact_start)), 0) AS longest_transaction_seconds,
       coalesce(extract(epoch FROM now.at - min(query_start) FILTER (WHERE state = 'active')), 0)
           AS longest_query_seconds,
       coalesce(extract(epoch FROM now.at - min(state_change)
           FILTER (WHERE state LIKE 'idle in transaction%%')), 0)
           AS longest_idle_in_transaction_seconds
FROM (SELECT clock_timestamp() AS at) AS now
LEFT JOIN pg_stat_activity AS a
    ON a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
GROUP BY now.at
"""

SESSION_HORIZON = """
SELECT 'session' AS label_holder,
       coalesce(max(age(backend_xmin)), 0) AS oldest_xmin_age
FROM pg_stat_activity WHERE pid <> pg_backend_pid()
"""

HORIZON = """
SELECT 'prepared' AS label_holder, coalesce(max(age(transaction)), 0) AS oldest_xmin_age
FROM pg_prepared_xacts
UNION ALL
SELECT 'slot', coalesce(max(greatest(age(xmin), age(catalog_xmin))), 0)
FROM pg_replication_slots
"""

PREPARED = """
SELECT count(*) AS prepared_transactions,
       coalesce(extract(epoch FROM clock_timestamp() - min(prepared)), 0)
           AS longest_prepared_transaction_seconds
FROM pg_prepared_xacts
"""

LOCK_WAITS = "SELECT count(DISTINCT pid) AS lock_waits FROM pg_locks WHERE NOT granted"

LOCK_WAIT_AGE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(waitstart)), 0)
           AS longest_lock_wait_seconds
FROM pg_locks WHERE NOT granted
"""

ACTIVITY = (
    MetricQuery(name="server", query=SERVER),
    MetricQuery(name="connections", query=CONNECTIONS, privileged=True),
    MetricQuery(name="ages", query=AGES, privileged=True),
    MetricQuery(name="lock_waits", query=LOCK_WAITS),
    MetricQuery(name="lock_wait_age", query=LOCK_WAIT_AGE, since=14),
    MetricQuery(name="session_horizon", query=SESSION_HORIZON, privileged=True),
    MetricQuery(name="horizon", query=HORIZON),
    MetricQuery(name="prepared", query=PREPARED),
)
