"""Databases: the health that a server or a file reports."""
