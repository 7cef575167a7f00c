"""Values and decisions. No clock, no I/O, no logging: all inputs are arguments.

It defines alerts, targets, runbooks, incidents and attempts, and the pure function `decide`.
Nothing here waits, reads or writes.
"""
