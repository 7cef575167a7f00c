"""The lab: a paper venue and bot, a supervisor for one machine, faults and drills.

It proves the product and lets a newcomer try it without a broker. It imports `trading_ops`, never
the reverse.
"""
