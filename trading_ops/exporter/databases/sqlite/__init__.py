"""SQLite files, read without leaving a trace."""
