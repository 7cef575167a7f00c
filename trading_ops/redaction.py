"""Takes secrets out of a text before it is logged, stored or answered.

Two ways, since neither is enough: the values that this process read from its secret files, in every
form in which a text may hold them, and whatever stands where secrets stand (`Authorization:`,
`password=`, the password of a URL). Rather too much is taken than too little.
"""

import base64
import json
import re
import threading
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"

SHORTEST = 5
"""Characters; a shorter one would be found in half of all words."""

MOST = 256
"""Values that are known at a time; of more the oldest is forgotten. A bot has ten."""

_lock = threading.Lock()
_values: dict[str, tuple[str, ...]] = {}
_forms: tuple[str, ...] = ()
"""The longest first: one may be a part of another."""

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
"""In small letters; a text without any of them is not searched: most have none."""

_PATTERNS = (
    # "password": "…" and 'password': '…', also inside a text that is itself in quotes.
    (
        rf"""((?:{_NAMES})(\\*["'])\s*[:=]\s*b?\2)(?:(?!\2)(?:\\.|[^\\])){{0,4096}}(?=\2)""",
        rf"\1{REDACTED}",
    ),
    # Headers: the whole value, which may be of several words.
    (
        r"""((?:authorization|cookie)\s*:\s*)(?=\S)(?!\[redacted\])[^"'\\\r\n]+""",
        rf"\1{REDACTED}",
    ),
    # password=… as in query strings and connection strings; `token: it is empty` is a sentence.
    (
        rf"""((?:{_NAMES})\s*(?:=\s*|:\s*(?=\S{{8}})))(?=\S)(?!\[redacted\])[^\s"'\\&]+""",
        rf"\1{REDACTED}",
    ),
    (r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", rf"\1 {REDACTED}"),
    # USER:PASSWORD@ of a URL; the user alone is a token sometimes.
    (r"""(://)[^\s/@"'\\]+@""", rf"\1{REDACTED}@"),
)
_COMPILED = tuple((re.compile(one, re.IGNORECASE), instead) for one, instead in _PATTERNS)


def known(value: str) -> str:
    """Have a secret taken out of every text from now on; return it."""
    if len(value) < SHORTEST or value in _values:
        return value
    with _lock:
        _values[value] = _forms_of(value)
        while len(_values) > MOST:
            del _values[next(iter(_values))]
        _set_forms()
    return value


def forget_all() -> None:
    """Know no secret any more; for tests."""
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


def _set_forms() -> None:
    global _forms  # noqa: PLW0603 - replaced whole, so that readers need no lock
    found = {form for forms in _values.values() for form in forms}
    _forms = tuple(sorted(found, key=len, reverse=True))


def _forms_of(value: str) -> tuple[str, ...]:
    """Return how a text may hold a secret: plain, escaped once or twice, in a URL, in base64."""
    plain = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    plain |= {repr(value)[1:-1], repr(value.encode())[2:-1]}
    plain.add(base64.b64encode(value.encode()).decode().rstrip("="))
    once = {json.dumps(form)[1:-1] for form in plain}
    once |= {json.dumps(form, ensure_ascii=False)[1:-1] for form in plain}
    twice = {json.dumps(form)[1:-1] for form in once}
    return tuple(form for form in plain | once | twice if len(form) >= SHORTEST)
