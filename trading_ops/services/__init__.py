"""Service managers behind one protocol, and the HTTP API through which the reconciler uses them.

`executor` stores fences and attempts, and `api` serves them. Both the local stack's supervisor and
the node process on each host use these two.
"""
