"""The lab: a paper venue and bot, a supervisor for one machine, faults and drills.

It tests the product end to end and lets newcomers try it without a broker. It imports
`trading_ops`, never the reverse.
"""
