"""The host: what is cheap every five seconds, what is not once a minute.

Figures that a kernel does not have, such as pressure, are absent.
"""
