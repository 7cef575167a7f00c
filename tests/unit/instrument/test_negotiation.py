"""A scraper gets what it asks for, if we can write it; whatever it asks for, it gets something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from trading_ops.instrument import BotMetrics, Exposition

TEXT = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping="

# As Prometheus sends them with its defaults; the last two with `scrape_protocols` turned round.
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_LEGACY_NAMES = PROMETHEUS_3.replace("allow-utf-8", "underscores")
PROMETHEUS_3_NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_3_TEXT = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5"
PROMETHEUS_3_OLD_TEXT_FIRST = (
    "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.4"
)


@pytest.fixture(scope="module")
def exposition() -> Exposition:
    return Exposition(BotMetrics(CollectorRegistry(), version="1", mode="paper").registry)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", TEXT),
        (PROMETHEUS_2_42, f"{OPENMETRICS}underscores"),
        (PROMETHEUS_3, f"{OPENMETRICS}allow-utf-8"),
        (PROMETHEUS_3_LEGACY_NAMES, f"{OPENMETRICS}underscores"),
        (PROMETHEUS_3_NATIVE, f"{OPENMETRICS}allow-utf-8"),
        (PROMETHEUS_3_TEXT, f"{TEXT_1}allow-utf-8"),
        (PROMETHEUS_3_OLD_TEXT_FIRST, TEXT),
        ("Application/OpenMetrics-Text ; version = 1.0.0", f"{OPENMETRICS}underscores"),
        ("application/openmetrics-text", OPENMETRICS.removesuffix("; escaping=")),
        # What we do not write is not claimed.
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=much,text/plain;version=0.0.4", TEXT),
        ("text/plain;version=junk", TEXT),
        ("text/plain;version=1.0.0;escaping=none", f"{TEXT_1}underscores"),
        # These would rename every family.
        ("application/openmetrics-text;version=1.0.0;escaping=values", f"{OPENMETRICS}underscores"),
        ("application/openmetrics-text;version=1.0.0;escaping=dots", f"{OPENMETRICS}underscores"),
    ],
)
def test_the_format_is_what_was_asked_for(
    exposition: Exposition, accept: str, content_type: str
) -> None:
    """By weight, then by order; the body is of the format that the Content-Type tells."""
    body, used = exposition.everything(accept)
    assert used == content_type
    assert body.endswith(b"# EOF\n") is used.startswith("application/openmetrics-text")


@pytest.mark.parametrize("escaping", ["values", "dots", "underscores", "allow-utf-8"])
def test_a_family_has_one_name_whatever_is_asked_for(escaping: str) -> None:
    """Also what prometheus_client writes itself: rules know no other name."""
    registry = CollectorRegistry()
    Gauge("trading_venue_up", "Written by prometheus_client.", registry=registry)
    accept = f"application/openmetrics-text;version=1.0.0;escaping={escaping}"
    body, _ = Exposition(registry).everything(accept)
    assert b"\ntrading_venue_up 0.0\n" in body


@given(st.text(st.sampled_from(";,=/*.q10 \ttextplainversionescapingdotsopenmetrics")))
def test_no_header_breaks_a_scrape(exposition: Exposition, accept: str) -> None:
    """A header from outside is answered in some format, never with an error."""
    body, content_type = exposition.vital(accept)
    assert body
    assert content_type.isprintable()
