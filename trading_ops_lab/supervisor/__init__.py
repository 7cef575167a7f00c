"""The process supervisor of one machine: configures, starts, watches and stops processes.

Implements `trading-ops up` on a laptop or a single server, and the supervisor's control API. It
makes no decisions about remediation: it restarts the processes that `targets.yml` assigns to it,
with backoff, and executes the reconciler's requests.
"""
