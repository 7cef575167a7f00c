"""Signals: the target position of each symbol, from the strategy or a model."""
