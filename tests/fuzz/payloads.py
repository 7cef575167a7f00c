"""Webhook bodies: good ones, and good ones gone wrong in every way that JSON and bytes allow."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

MOMENTS = (
    "2026-03-01T12:00:00Z",
    "2026-03-01T12:00:00.123456789Z",
    "2026-03-01T12:00:00.999999999+23:59",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-12:00",
    "2026-02-30T00:00:00Z",
    "1970-01-01",
    "now",
    "",
)
TEXTS = (
    "",
    "alpha",
    "\0",
    "a\0b",
    "\u202e\u0000",
    "\ud800",
    "😀" * 50,
    "'; DROP TABLE incidents; --",
    "../../etc/passwd",
    "{{ 7 * 7 }}",
    "x" * 10_000,
    "\n\r\t\x1b[31m",
)
NUMBERS: tuple[Any, ...] = (0, -1, 2**31, 2**63, 2**64, -(2**63), 1e308, True, None)
RAW = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-1e999",
    b"9" * 5000,
    b"[" * 5000 + b"]" * 5000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"18446744073709551616",
    b"9223372036854775808",
    b'{"alerts":[]}',
    b'"status":"firing",',
)


def good(random: random.Random) -> dict[str, Any]:
    """Return a body as Alertmanager writes it."""
    alerts = []
    for _ in range(random.choice((0, 1, 1, 1, 2, 5))):
        labels = {
            "alertname": random.choice(("BotDown", "BotSick", "Watchdog", "NeverHeardOf")),
            "bot": random.choice(("alpha", "beta", "nobody")),
            "severity": random.choice(("critical", "none")),
            "n": str(random.randrange(200)),
        }
        alerts.append(
            {
                "status": random.choice(("firing", "resolved")),
                "labels": labels,
                "annotations": {"summary": "A fuzzed alert."},
                "startsAt": random.choice(MOMENTS[:3]),
                "endsAt": random.choice(MOMENTS[:4]),
                "generatorURL": "http://127.0.0.1/graph",
                "fingerprint": f"{random.getrandbits(64):016x}",
            }
        )
    return {
        "version": "4",
        "groupKey": '{}:{alertname="x"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "reconciler",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "alerts": alerts,
    }


def payload(random: random.Random) -> bytes:
    """Return one body, good or gone wrong."""
    value: Any = good(random)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        value = _bend(copy.deepcopy(value), random)
    body = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        body = random.choice(BREAKS)(body, random)
    return body


def _bend(value: Any, random: random.Random) -> Any:
    """Put something else into one place of a JSON value."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        if random.random() < 0.15:
            del value[key]
        elif random.random() < 0.1:
            value[random.choice(TEXTS)] = value.pop(key)
        else:
            value[key] = _bend(value[key], random)
        return value
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        value[at] = _bend(value[at], random)
        return value
    return random.choice(
        (
            random.choice(TEXTS),
            random.choice(NUMBERS),
            random.choice(MOMENTS),
            [],
            {},
            [value],
            {"a": value},
        )
    )


def _insert(body: bytes, random: random.Random) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + random.choice(RAW) + body[at:]


def _replace_a_value(body: bytes, random: random.Random) -> bytes:
    parts = body.split(b":")
    at = random.randrange(len(parts))
    _, comma, rest = parts[at].partition(b",")
    parts[at] = random.choice(RAW) + comma + rest
    return b":".join(parts)


def _cut(body: bytes, random: random.Random) -> bytes:
    return body[: random.randrange(len(body) + 1)]


def _flip(body: bytes, random: random.Random) -> bytes:
    if not body:
        return body
    flipped = bytearray(body)
    flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
    return bytes(flipped)


def _repeat(body: bytes, random: random.Random) -> bytes:
    begin = random.randrange(len(body) + 1)
    piece = body[begin : begin + random.randrange(200)]
    return body[:begin] + piece * random.randrange(1, 5) + body[begin:]


BREAKS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _insert,
    _replace_a_value,
    _cut,
    _flip,
    _repeat,
)

_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_moments = st.sampled_from(MOMENTS) | st.datetimes(timezones=st.timezones()).map(
    lambda moment: moment.isoformat()
)
_alerts = st.fixed_dictionaries(
    {
        "status": st.sampled_from(("firing", "resolved")) | _values,
        "labels": st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=5) | _values,
        "startsAt": _moments | _values,
    },
    optional={
        "endsAt": _moments | _values,
        "annotations": st.dictionaries(st.text(max_size=10), _values, max_size=3),
        "fingerprint": st.text(max_size=20) | _values,
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.fixed_dictionaries({"alerts": st.lists(_alerts, max_size=3)}).map(
        lambda value: json.dumps(value).encode("utf-8", "surrogatepass")
    ),
)
"""What hypothesis searches: raw bytes, and bodies of nearly the right shape."""
