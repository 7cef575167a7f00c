"""The embedded default: a paper venue and a reference bot that trades on it."""
