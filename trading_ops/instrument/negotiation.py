"""Content negotiation: which format a scraper gets.

prometheus_client selects the first format that it knows, ignores weights, echoes requested
versions, and raises on a version that is not a number. It is therefore given only the best format
that we support, or the text format, which every scraper reads.
"""

from collections.abc import Callable
from functools import lru_cache

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

Encoder = Callable[[Collector], bytes]

_VERSIONS = {
    "application/openmetrics-text": ("", "1.0.0"),
    "text/plain": ("", "0.0.4", "1.0.0"),
}
"""Versions that we write, by media type; empty if the scraper does not specify one."""

_ESCAPING = {"allow-utf-8", "underscores"}
"""Escaping schemes that keep our names. The others (`values` and `dots` double each underscore)
would rename every family, and no rule knows those names. A scraper accepts the scheme in
Content-Type."""


@lru_cache(maxsize=64)
def negotiated(accept: str) -> tuple[Encoder, str]:
    """Return prometheus_client's encoder and the Content-Type for this Accept header."""
    offers = [_offer(clause) for clause in accept.split(",")]
    # The first of equal weight: Prometheus sends them in its order of preference.
    weight, best = max(offers, key=lambda offer: offer[0])
    return choose_encoder(best if weight else "")


def _offer(clause: str) -> tuple[float, str]:
    """Return the weight of one clause, and the clause without it; 0 if we cannot serve it."""
    media, *rest = (part.strip() for part in clause.split(";"))
    given = {key.strip(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
    if given.get("version", "") not in _VERSIONS.get(media.lower(), ()):
        return 0.0, ""
    if given.get("escaping") not in _ESCAPING:
        given.pop("escaping", None)
    requested = [f"{key}={given[key]}" for key in ("version", "escaping") if key in given]
    return _weight(given.get("q", "1")), ";".join((media.lower(), *requested))


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
