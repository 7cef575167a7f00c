"""One machine's processes: laid out, started in order, supervised, stopped, broken for drills.

What belongs here: everything that makes `trading-ops up` work on a laptop or a single server, and
the supervisor's control API. What must not: a decision about recovery. The supervisor restarts
what `targets.yml` gives to it, within a limit, and carries out the reconciler's orders.
"""
