"""Databases: what a server or a file tells of its own health."""
