"""Messages that do not page.

`announce`, `alerts` and `bot_events` create them. `outbox` stores and delivers them: `routing`
decides which channels get a message and when, `rendering` produces text and HTML, and `courier`
delivers through Apprise in a separate process. `config` reads notify.yml, `channels` the URLs.
"""
