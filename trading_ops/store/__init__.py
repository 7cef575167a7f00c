"""The only SQL of our schema.

`tables` is the schema, `engine` opens databases, `writer` is the one thread that writes, and each
aggregate has a file of functions that take a connection: reading ones return `domain` values,
writing ones are handed to the writer. `migrate` and `migrations/` bring a database up to date.
"""

from sqlalchemy import Connection

__all__ = ["Connection"]
