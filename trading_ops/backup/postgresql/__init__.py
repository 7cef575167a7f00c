"""PostgreSQL with its own tools: a daily base backup, and all WAL since.

`chain` stores the bases and the WAL on this host, `capture` adds them to a backup, and `recovery`
creates a data folder for any moment since the base. `tools` runs the programs.
"""
