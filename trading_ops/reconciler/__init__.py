"""I/O around `domain.decide`: observes, decides, acts, verifies and records.

Read the files in the order in which an alert meets them: `intake` parses stored notifications,
`observe` queries Prometheus and Alertmanager, `loop` makes a pass over the open incidents,
`reconcile` processes one of them, `execute` runs a step, and `verify` checks its effect.
`crash_recovery` settles what a crash interrupted, and `secondary_oncall` exports what must page.
"""
