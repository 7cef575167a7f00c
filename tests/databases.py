"""Which databases a test runs on. Every test that asks for `database_url` runs on both."""

import pytest

BOTH = ("sqlite", "postgresql")

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what the other does not have: its file lock, its pragmas."""

postgresql_only = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""For what needs a server, or several writers."""
