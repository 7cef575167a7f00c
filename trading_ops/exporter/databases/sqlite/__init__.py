"""SQLite files, read without changing anything."""
