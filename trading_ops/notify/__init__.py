"""Messages that do not page: their routing, rendering and delivery.

`config` reads notify.yml, `routing` decides which channels get a message and when, `rendering`
produces text and HTML, and `courier` delivers through Apprise in a separate process. The outbox
itself is `store.messages`; the reconciler's `outbox` connects them.
"""
