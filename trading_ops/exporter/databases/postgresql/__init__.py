"""PostgreSQL, read by a role that can change nothing."""
