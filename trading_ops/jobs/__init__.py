"""Recurring work: when a job is due, whether it may run, what it did.

`jobs.yml` says when, `registry` says what, `scheduler` runs it, `store.jobs` keeps the history.
"""
