"""Bearer tokens, compared in constant time."""

import hmac
from collections.abc import Iterable


def bearer_is_one_of(header: str | None, tokens: Iterable[str]) -> bool:
    """Whether an Authorization header has one of these tokens; an empty token never matches."""
    scheme, _, given = (header or "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    candidate = given.strip().encode("utf-8", "surrogateescape")
    # No short cut on the first hit: each comparison takes its time.
    hits = [
        hmac.compare_digest(candidate, token.encode("utf-8")) for token in tokens if token != ""
    ]
    return any(hits)
