"""False alarms of TradingAnomaly over 30 days of generated history, and which anomalies it finds.

The shipped rules run in promtool over one sample a minute. The last day of each series has one
anomaly: half an hour of a value of another hour of the day, or of one that never occurs. Run with
`python -m tests.bench.anomalies`; it takes minutes.
"""

import argparse
import math
import random
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from tests.bench.say import say

RULES = Path(__file__).parents[2] / "prometheus" / "rules" / "anomalies.yml"
DAY = 1440
"""Minutes."""

SEASONAL_FROM = 15
"""Day from which the differences to two weeks before are known for a whole day."""

AT_MINUTE = 3 * 60
"""Of the last day: where a daily cycle that peaks at noon is low."""

LASTING = 30
"""Minutes of an anomaly."""

WORKING_DAYS = 5
RARE = 0.005

Curve = Callable[[int], float]


def _shapes(rng: random.Random) -> dict[str, tuple[Curve, float]]:
    """Return curves by the minute, and the value of the anomaly in each."""
    walk = 0.0

    def signed(_: int) -> float:
        nonlocal walk
        walk = 0.98 * walk + rng.gauss(0, 3)
        return walk

    def daily(at: int) -> float:
        return 60 - 50 * math.cos(math.tau * at / DAY)

    def weekly(at: int) -> float:
        return daily(at) * (1 if at // DAY % 7 < WORKING_DAYS else 0.3)

    def peaks(_: int) -> float:
        return 0.05 + rng.expovariate(100) + (0.2 if rng.random() < RARE else 0)

    return {
        "steady rate": (lambda _: 40 + rng.gauss(0, 2), 5),
        "rate with a daily cycle": (lambda at: daily(at) + rng.gauss(0, 3), 110),
        "rate with a weekly cycle": (lambda at: weekly(at) + rng.gauss(0, 3), 110),
        "latency with rare peaks": (peaks, 0.5),
        "latency with a daily cycle": (lambda at: daily(at) / 500 + rng.gauss(0, 0.01), 0.25),
        "signed profit, mean-reverting": (signed, -150),
    }


def series(days: int, seed: int) -> Iterator[tuple[str, str]]:
    """Return the series and their values, as promtool reads them."""
    shapes = _shapes(random.Random(seed))
    for name, (curve, value) in shapes.items():
        values = [curve(at) for at in range(days * DAY)]
        begin = (days - 1) * DAY + AT_MINUTE
        values[begin : begin + LASTING] = [value] * LASTING
        text = " ".join(f"{value:.4g}" for value in values)
        yield f'trading_unrealized_pnl{{job="trading-bot-detail", bot="{name}"}}', text


def measured(days: int, seed: int) -> list[dict[str, float]]:
    """Return minutes of firing by shape: in the first days, with a seasonal band, at the end."""
    firing = 'ALERTS{alertname="TradingAnomaly", alertstate="firing"}'
    end = (days - 1) * DAY
    spans = {
        SEASONAL_FROM * DAY: SEASONAL_FROM * DAY,
        end: end - SEASONAL_FROM * DAY,
        end + AT_MINUTE + 2 * LASTING: 2 * LASTING,
    }
    # The expected sample is never there, so promtool prints what it found.
    tests = [
        {
            "expr": f"sum by (bot) (count_over_time({firing}[{minutes}m]))",
            "eval_time": f"{at}m",
            "exp_samples": [{"labels": "never", "value": -1}],
        }
        for at, minutes in spans.items()
    ]
    given = [{"series": name, "values": text} for name, text in series(days, seed)]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": given, "promql_expr_test": tests}],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.yml"
        file.write_text(yaml.safe_dump(document, width=10**9))
        done = subprocess.run(
            ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
        )
    answers = re.findall(r"^\s*got:(.*)$", done.stdout + done.stderr, re.MULTILINE)
    if len(answers) != len(tests):
        raise SystemExit(f"promtool gave no answer: {(done.stdout + done.stderr)[-2000:]}")
    pattern = r'bot=\\?"([^"\\]*)\\?"\}"?\s*([\d.E+]+)'
    return [
        {name: float(value) for name, value in re.findall(pattern, answer)} for answer in answers
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    first, seasonal, found = measured(options.days, options.seed)
    names = list(_shapes(random.Random(0)))
    minutes = (options.days - 1 - SEASONAL_FROM) * DAY
    say("| shape | false alarms, 24-hour band | seasonal band | anomaly found |")
    say("|---|---|---|---|")
    for name in names:
        early = first.get(name, 0.0) / (SEASONAL_FROM * DAY)
        late = seasonal.get(name, 0.0) / minutes
        say(f"| {name} | {early:.2%} | {late:.2%} | {'yes' if found.get(name) else 'no'} |")
    share = sum(seasonal.values()) / minutes / len(names)
    say(f"False alarms with a seasonal band, all shapes: {share:.3%} of the time")


if __name__ == "__main__":
    main()
