"""The reference bot: trades the paper venue through ccxt and shows how to make a bot operable.

Its strategy is an example, not advice: two moving averages cross, and on a random walk it can only
lose its fees. The rest is what it demonstrates: components that fail independently and report it, a
heartbeat that means completed passes, orders that are never left unattended, and an agent through
which the reconciler remediates faults.

Faults that an operator or the reconciler must see are not corrected silently: a dead session at the
broker stays dead until `reconnect_broker`, and a silent feed stays silent until
`restart_component feed`. During an outage of the venue the bot keeps its session and retries.
"""
