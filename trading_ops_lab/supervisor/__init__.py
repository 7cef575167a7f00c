"""One machine's processes: laid out, started in order, supervised, stopped.

Everything that makes `trading-ops up` work on a laptop or a single server, and the supervisor's
control API. It decides nothing about recovery: it restarts what `targets.yml` gives to it, within a
limit, and carries out the reconciler's orders.
"""
