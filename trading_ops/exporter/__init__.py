"""A process beside what cannot be changed: it tells what a bot cannot know of host and venue.

Each collector runs in a task of its own with its own timeout, and what it found last is served
from memory: a source that hangs or dies delays neither a scrape nor another collector.
"""
