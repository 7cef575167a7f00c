"""The only outbound I/O: one file for each system that we call.

No client follows a redirect, retries by itself, or builds an address from an alert's labels. No
answer is `Unreachable`; a clear no is `Refused`.
"""
