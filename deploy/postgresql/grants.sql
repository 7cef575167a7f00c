-- What the reconciler's role may do, and nothing else: it cannot change what happened, nor the
-- schema. Run by the tables' owner, after `trading-ops migrate` brought a new version.
GRANT USAGE ON SCHEMA public TO trading_ops;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO trading_ops;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO trading_ops;

-- Leases that ended, and what retention removes.
GRANT DELETE ON claims, replicas TO trading_ops;
GRANT DELETE ON notifications, incidents, attempts, acknowledgements, approvals, holds, pauses,
    maintenance, recurring_windows, messages, job_runs, trading_sessions TO trading_ops;

-- History is only added to; its head moves, and cannot go away. Old events can be deleted behind a
-- checkpoint: a trigger refuses every other deletion, and `audit verify` an unsigned checkpoint.
GRANT DELETE ON events TO trading_ops;
REVOKE UPDATE ON events, audit_checkpoints FROM trading_ops;
REVOKE INSERT ON chain FROM trading_ops;

-- The schema is the owner's.
REVOKE INSERT, UPDATE ON alembic_version FROM trading_ops;
