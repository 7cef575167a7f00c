"""A venue asked through ccxt: reachability, clock, and what an account holds.

ccxt is large, blocks while it waits, and speaks a hundred dialects of other people's servers. So
each venue has a child process of its own: it costs memory only where it is configured, and one
that hangs is killed without harm to anything else. It calls what reads, and nothing else.
"""
