"""Whatever a bot says, nothing raises, and what comes of it can be scraped."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from trading_ops.instrument import BotMetrics, Exposition

# These are given functions, or return what is used in their place.
OTHERWISE = {"watch_queue", "watch_pauses", "watch_pool", "feed", "query"}
METHODS = sorted(
    name
    for name, _ in inspect.getmembers(BotMetrics, inspect.isfunction)
    if not name.startswith("_") and name not in OTHERWISE
)

texts = st.one_of(
    st.sampled_from(["BTC/USD", "USD", "ok", "rest", "main", 'a"b\\c\n']),
    # Halves of surrogate pairs among them, which JSON can carry.
    st.text(st.characters(), max_size=8),
)
# The client's parser loses count of escaped quotes in exemplars, and there alone.
identities = texts.map(lambda text: text.replace('"', "'"))
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    float | None: st.none() | st.floats(),
    BaseException | None: st.none() | st.builds(ValueError) | st.builds(TimeoutError),
}


def call_of(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Return a method's name with arguments for it."""
    hints = get_type_hints(getattr(BotMetrics, name))
    parameters = list(inspect.signature(getattr(BotMetrics, name)).parameters)[1:]
    chosen = {
        parameter: identities if parameter in {"order_id", "trace_id"} else VALUES[hints[parameter]]
        for parameter in parameters
    }
    return st.tuples(st.just(name), st.fixed_dictionaries(chosen))


calls = st.lists(st.sampled_from(METHODS).flatmap(call_of), max_size=30)


def test_every_method_is_tried() -> None:
    """A new method is tried on its own, and those that are left out exist."""
    assert len(METHODS) > 40
    assert all(hasattr(BotMetrics, name) for name in OTHERWISE)


@settings(max_examples=30, deadline=None)
@given(calls)
def test_nothing_that_is_reported_breaks_anything(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Any value under any name, in any order."""
    metrics = BotMetrics(version="1", mode="paper", symbols=["BTC/USD"], currencies=["USD"])
    for name, arguments in calls:
        method: Callable[..., None] = getattr(metrics, name)
        method(**arguments)
    exposition = Exposition(metrics.registry)
    body, _ = exposition.everything()
    names = {family.name for family in plain(body.decode())}
    body, _ = exposition.everything("application/openmetrics-text")
    assert {family.name for family in openmetrics(body.decode())} == names  # type: ignore[no-untyped-call]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.none() | st.floats(), st.none() | st.floats())))
def test_a_kept_feed_records_what_a_tick_by_symbol_does(ticks: list[tuple[Any, ...]]) -> None:
    """The hot path is written twice; the two never differ."""
    by_symbol, kept = (
        BotMetrics(CollectorRegistry(), version="1", mode="paper", symbols=["S"], started_at=1.0)
        for _ in range(2)
    )
    feed = kept.feed("S")
    for at, latency, price in ticks:
        by_symbol.tick("S", at=at, latency_seconds=latency, price=price)
        feed.tick(at, latency, price)
    assert Exposition(by_symbol.registry).everything() == Exposition(kept.registry).everything()
