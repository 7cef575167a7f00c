"""The only SQL on our schema.

`tables` is the schema, `engine` opens databases, and `writer` is the only thread that writes. Each
aggregate has a file of functions that take a connection: readers return `domain` values, writers
run in the writer's thread. `migrate` and `migrations/` upgrade a database.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]
