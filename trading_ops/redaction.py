"""Redacts secrets from text before it is logged, stored or sent.

Two methods are combined: known values, which this process read from its secret files, in all their
encodings; and patterns (`Authorization:`, `password=`, the password of a URL). It redacts too much
rather than too little.
"""

import base64
import json
import re
import threading
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

SHORTEST = 5
"""Minimum length of a known value; shorter ones would match ordinary words."""

MOST = 256
"""Maximum number of known values; the oldest is dropped. A bot has ten."""

LONGEST_SECRET = 8 * 1024
"""Characters at the end of a cut text that may be the beginning of a secret."""

_lock = threading.Lock()
_values: dict[str, tuple[str, ...]] = {}
_forms: tuple[str, ...] = ()
"""Longest first: one may contain another."""

_NAMES = (
    r"pass(?:word|wd|phrase)|secret|authorization|cookie|credentials?"
    r"|api[-_ ]?(?:key|sign|secret|token)|private[-_ ]?key|signature"
    r"|(?:access|refresh|auth|session|bearer|ws|agent|metrics|faults|operator)?[-_]?token"
)
_TRIGGERS = (
    *("passw", "passphrase", "secret", "authorization", "cookie", "credential", "signature"),
    *("apikey", "apisign", "apitoken", "api-", "api_", "api ", "privatekey", "private-"),
    *("private_", "private ", "token", "bearer ", "basic ", "://"),
)
"""Lower case; a text without any of them, as most, is not searched."""

_PATTERNS = (
    # "password": "…" and 'password': '…', also in quoted text.
    (
        rf"""((?:{_NAMES})(\\*["'])\s*[:=]\s*b?\2)(?:(?!\2)(?:\\.|[^\\])){{0,4096}}(?=\2)""",
        rf"\1{REDACTED}",
    ),
    # Headers: the whole value, which may have several words.
    (
        r"""((?:authorization|cookie)\s*:\s*)(?=\S)(?!\[redacted\])[^"'\\\r\n]+""",
        rf"\1{REDACTED}",
    ),
    # password=… as in query and connection strings; `token: it is empty` is prose.
    (
        rf"""((?:{_NAMES})\s*(?:=\s*|:\s*(?=\S{{8}})))(?=\S)(?!\[redacted\])[^\s"'\\&]+""",
        rf"\1{REDACTED}",
    ),
    (r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", rf"\1 {REDACTED}"),
    # USER:PASSWORD@ of a URL; the user alone may be a token.
    (r"""(://)[^\s/@"'\\]+@""", rf"\1{REDACTED}@"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in _PATTERNS)


def known(value: str) -> str:
    """Register a secret to redact; return it."""
    if len(value) < SHORTEST or value in _values:
        return value
    with _lock:
        _values[value] = _forms_of(value)
        while len(_values) > MOST:
            del _values[next(iter(_values))]
        _set_forms()
    return value


def forget_all() -> None:
    """Forget all registered secrets; for tests."""
    with _lock:
        _values.clear()
        _set_forms()


def redact(text: str) -> str:
    """Return the text without secrets. JSON stays JSON."""
    for form in _forms:
        if form in text:
            text = text.replace(form, REDACTED)
    small = text.lower()
    if any(trigger in small for trigger in _TRIGGERS):
        for pattern, instead in _COMPILED:
            text = pattern.sub(instead, text)
    return text


def redact_start(text: str, longest: int) -> str:
    """Redact the beginning of a text and drop the rest, which is not searched.

    Args:
        text: of any length.
        longest: how many characters are searched. A secret that this cuts in two would not be
            found, so of a longer text the last `LONGEST_SECRET` of these are dropped as well.
    """
    if len(text) <= longest:
        return redact(text)
    return redact(text[:longest])[:-LONGEST_SECRET]


def _set_forms() -> None:
    global _forms  # noqa: PLW0603 - replaced atomically, so readers need no lock
    found = {form for forms in _values.values() for form in forms}
    _forms = tuple(sorted(found, key=len, reverse=True))


def _forms_of(value: str) -> tuple[str, ...]:
    """Return the encodings of a secret: plain, escaped once or twice, in a URL, in base64."""
    plain = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    plain |= {repr(value)[1:-1], repr(value.encode())[2:-1]}
    plain.add(base64.b64encode(value.encode()).decode().rstrip("="))
    once = {json.dumps(form)[1:-1] for form in plain}
    once |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in plain}
    twice = {json.dumps(form)[1:-1] for form in once}
    return tuple(form for form in plain | once | twice if len(form) >= SHORTEST)
