"""Durations as Prometheus writes them, such as `1m30s`."""

from datetime import timedelta

_UNITS = (
    ("d", timedelta(days=1)),
    ("h", timedelta(hours=1)),
    ("m", timedelta(minutes=1)),
    ("s", timedelta(seconds=1)),
    ("ms", timedelta(milliseconds=1)),
)


def format_duration(duration: timedelta) -> str:
    """Return a duration of at least 0 as `1h`, `1m30s` or `500ms`, rounded down to milliseconds."""
    parts = []
    for unit, length in _UNITS:
        count, duration = divmod(duration, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
