"""Messages to people that do not page: where they go, what they look like, and their delivery.

`config` reads notify.yml, `routing` says which channels get a message and when, `rendering` makes
text and HTML of it, and `courier` delivers through Apprise in a process of its own. The outbox
itself is `store.messages`; the reconciler's `outbox` brings them together.
"""
