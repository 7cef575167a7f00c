"""The reference bot: trades the paper venue through ccxt and shows how a bot is made operable.

Its strategy is an example and no advice: it crosses two moving averages, and on a random walk it
can only lose its fees. What it is for is the rest: components that fail one by one and say so, a
heartbeat that means work done, orders that never outlive it unwatched, and an agent through which
it is mended from outside.

No fault that a person or the reconciler must see is mended silently in here: a dead session at the
broker stays dead until `reconnect_broker`, and a silent feed stays silent until
`restart_component feed`. Plain outages of the venue are waited out on the same session.
"""
