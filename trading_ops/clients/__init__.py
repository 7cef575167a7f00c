"""The only outbound I/O: one file for each system that we call.

No client follows a redirect, retries on its own, or builds an address from an alert's labels. No
answer raises `Unreachable`; a clear rejection raises `Refused`.
"""
