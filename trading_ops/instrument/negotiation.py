"""Content negotiation: which format a scraper gets.

prometheus_client takes the first format that it knows, whatever its weight, echoes requested
versions, and raises on a version that is not a number. So it is given only the best format that we
support; without one, the text format, which every scraper reads.
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
"""What we write, by media type; empty where the scraper leaves it to us."""

_ESCAPING = {"allow-utf-8", "underscores"}
"""Those that leave our names as they are. The others would rename every family (`values` and `dots`
double each underscore), and no rule knows those names. A scraper accepts what Content-Type says."""


@lru_cache(maxsize=64)
def negotiated(accept: str) -> tuple[Encoder, str]:
    """Return prometheus_client's encoder and the Content-Type for this Accept header."""
    offers = [_offer(clause) for clause in accept.split(",")]
    # The first of those that weigh the same: Prometheus sends them in its order of preference.
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
    asked = [f"{key}={given[key]}" for key in ("version", "escaping") if key in given]
    return _weight(given.get("q", "1")), ";".join((media.lower(), *asked))


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
