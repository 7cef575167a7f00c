"""A venue through ccxt: reachability, clock, and the balances of an account.

ccxt is large, blocks while it waits, and talks to many different servers. Each venue therefore has
its own child process: it uses memory only if it is configured, and a process that hangs is killed
without affecting anything else. It only makes read requests.
"""
