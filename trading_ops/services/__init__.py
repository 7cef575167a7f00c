"""Service managers behind one protocol, and the HTTP API through which the reconciler uses them.

`orders` keeps fences and attempts, whatever carries the effect out; `api` serves them. The lab's
supervisor and the node process on each host both use these two.
"""
