"""A paper venue, and a reference bot that trades on it."""
