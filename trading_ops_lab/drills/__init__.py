"""Runs a drill or a game day: inject a fault, follow the recovery, record its stages."""
