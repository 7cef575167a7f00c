"""All outbound I/O: one file per system that we call.

No client follows a redirect, retries on its own, or builds an address from alert labels. A missing
answer raises `Unreachable`; a clear rejection raises `Refused`.
"""
