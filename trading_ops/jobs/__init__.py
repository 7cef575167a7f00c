"""Recurring work: schedules, gates, runs and their history.

`jobs.yml` has the schedules, `registry` the jobs; `scheduler` runs them; `store.jobs` has the
history.
"""
