"""A venue through ccxt: reachability, clock, and the balances of an account.

ccxt is large, blocks while it waits, and talks to many different servers. So each venue has its own
child process: it costs memory only if it is configured, and one that hangs is killed without
affecting anything else. It only makes read requests.
"""
