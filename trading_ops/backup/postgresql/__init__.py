"""PostgreSQL with its own tools: a base backup a day, and all WAL since.

`chain` keeps the bases and the WAL on this host, `capture` puts them into a backup, `recovery`
turns a backup into a data folder of any moment since its base. `tools` runs the programs.
"""
