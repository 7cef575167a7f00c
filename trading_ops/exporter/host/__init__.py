"""Metrics of the host: cheap ones every five seconds, others once a minute.

Metrics that the kernel does not support, such as pressure, are absent.
"""
