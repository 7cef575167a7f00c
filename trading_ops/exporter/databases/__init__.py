"""Health of PostgreSQL servers and SQLite files."""
