"""The exporter: metrics of host, processes, venues and databases, beside bots that stay unchanged.

Each collector runs in its own task with its own timeout, and its last result is served from memory:
a source that hangs or fails delays neither a scrape nor another collector.
"""
