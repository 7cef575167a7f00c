"""The exporter: metrics of host, processes, venues and databases, without changes to bots.

Each collector runs in its own task with its own timeout, and its last result is served from memory.
A source that hangs or fails delays neither a scrape nor another collector.
"""
