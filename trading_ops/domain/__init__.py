"""Values and decisions. No clock, no I/O, no logging: everything comes in as an argument.

What belongs here: the meaning of alerts, targets, runbooks, incidents and attempts, and the one
pure function that decides. What must not: anything that waits, reads or writes.
"""
