"""I/O around `domain.decide`: observes, decides, acts, verifies and records.

Read the files in the order in which an alert meets them: `intake` parses stored notifications,
`observe` queries Prometheus and Alertmanager, `loop` makes a pass over the open incidents,
`reconcile` processes one of them, `execute` runs a step, `verify` checks its effect, and
`open_incident_metrics` exports what must page. `crash_recovery` settles what a crash interrupted.
"""
