"""Reconciliation: compares the bot's records with the venue, and corrects what is certain.

`collect` reads both sides, `compare` finds discrepancies without changing anything, `apply` carries
out the corrections, and `component` schedules the comparisons and halts the bot for drift that
needs an operator.
"""
