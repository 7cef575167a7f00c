"""PostgreSQL, read by a role without write privileges."""
