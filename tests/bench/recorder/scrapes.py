"""How long a scrape takes."""

import statistics
from collections.abc import Iterator

from prometheus_client import generate_latest

from tests.bench.recorder.beside import ROUNDS, Measured, beside, seconds, verdict
from tests.bench.recorder.registries import Pair, bots, pair
from tests.bench.say import say
from trading_ops.instrument import Exposition, MetricType
from trading_ops.instrument.numbers import FASTEST

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SIZES = (500, 2_000, 10_000)
GOALS = {MetricType.COUNTER: 40.0, MetricType.GAUGE: 40.0, MetricType.HISTOGRAM: 30.0}
BOT = 40.0
SHARES = {
    "nothing": 0.0,
    "a third": 1 / 3,
    "all": 1.0,
}
"""What is recorded between two scrapes: in how many of the children; for a bot, of its symbols."""


def all_pairs(sizes: tuple[int, ...]) -> Iterator[tuple[str, float, Pair]]:
    """Yield what is scraped, its name, and how many times faster it is to be than theirs."""
    for kind, goal in GOALS.items():
        for lines in sizes:
            yield f"{kind}s", goal, pair(kind, lines)
    for lines in sizes:
        yield "a bot's mix", BOT, bots(lines)


def scrapes() -> None:
    """Print how long a scrape takes, by what has changed since the one before."""
    say(
        f"a scrape: milliseconds, ours and prometheus_client's, median of {ROUNDS} rounds in turns;"
        f" numbers by {FASTEST.__module__ or 'orjson'}.{FASTEST.__name__}"
    )
    say(f"  {'lines':<20} {'changed':<9} {'ours':>7} {'OpenMetrics':>12} {'theirs':>7}")
    for description, goal, both in all_pairs(SIZES):
        lines = Exposition(both.ours).everything()[0].count(b"\n")
        for changed, share in SHARES.items():
            text, openmetrics = _measured(both, share)
            gated = goal if lines >= max(SIZES) * 0.9 else 0
            say(
                f"  {lines:>7} {description:<12} {changed:<9} {text.ours * 1e3:>7.2f} "
                f"{openmetrics * 1e3:>12.2f} {text.theirs * 1e3:>7.1f}   "
                f"{verdict(text.ratio, gated)}"
            )


def _measured(both: Pair, share: float) -> tuple[Measured, float]:
    """Return the cost of the text format beside theirs, and the seconds of OpenMetrics."""
    exposition = Exposition(both.ours)
    for _ in range(3):
        exposition.everything()
    text = beside(
        exposition.everything,
        lambda: generate_latest(both.theirs),
        before=lambda: both.stir(share),
    )
    for _ in range(3):
        exposition.everything(OPENMETRICS)
    taken = []
    for _ in range(ROUNDS):
        both.stir(share)
        taken.append(seconds(lambda: exposition.everything(OPENMETRICS)))
    return text, statistics.median(taken)
