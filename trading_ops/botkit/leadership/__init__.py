"""Standby instances of one bot: who of them leads, and how another takes over.

`lease` is the row that says it, `line` the bounded connection to it, `wire` the last look before an
order leaves, `shared_holds` what people said to any of them, `late_nonces` a key that is not used
before its time, `standby` the component that watches, renews and takes over, and `failover` puts
them together.
"""
