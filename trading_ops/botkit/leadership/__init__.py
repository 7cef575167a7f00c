"""Leader and standby instances of one bot: leader election, fencing and takeover.

`lease` is the database row that elects the leader, `connection` the time-limited connection to it,
`permit` the last check before an order is sent, `shared_holds` the holds that all instances share,
`deferred_nonces` the nonces of a key that only the leader may use, `component` the component that
watches the lease, renews it and takes over, and `settings` their configuration.
"""
