"""The queries of the shipped readiness plan on series: a breach fails and is never unknown."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.rules.configuration import run_tool
from trading_ops.domain.readiness import Criterion
from trading_ops.readiness.plan import load_plan

PLAN = load_plan(Path("none"))
DAY = 1440
"""Minutes: samples of one day."""

Series = dict[str, str]

NEVER, ALWAYS, COUNTING = f"0x{DAY}", f"1x{DAY}", f"0+1x{DAY}"
JOB = 'bot="alpha", job="trading-bot"'


def mode(name: str, values: str) -> Series:
    return {f'trading_bot_info{{{JOB}, version="1", mode="{name}"}}': values}


def series_of(metric: str, values: str, labels: str = "") -> Series:
    return {f"{metric}{{{JOB}{labels}}}": values}


def rate(metric: str, label: str, good: str, bad: str, failures: str) -> Series:
    return series_of(metric, COUNTING, f', {label}="{good}"') | series_of(
        metric, failures, f', {label}="{bad}"'
    )


def memory(size: str) -> Series:
    return series_of("process_resident_memory_bytes", f"{size}x{DAY}")


def nonces(refused: str) -> Series:
    return series_of("trading_nonces_issued_total", COUNTING) | series_of(
        "trading_nonces_refused_total", refused
    )


def feed(times: str) -> Series:
    return series_of("trading_market_data_timestamp_seconds", times, ', symbol="BTC/USD"')


def pairs(number: int) -> Series:
    found: Series = {}
    for at in range(number):
        found |= series_of("trading_position", ALWAYS, f', symbol="S{at}"')
    return found


FIRST_HALF = f"1x{DAY // 2} _x{DAY // 2}"
SECOND_HALF = f"_x{DAY // 2} 1x{DAY // 2}"

CASES: Mapping[str, tuple[Series, Series]] = {
    "validation/memory": (memory("100e6"), memory("201e6")),
    "paper/mode": (mode("paper", ALWAYS), mode("live", ALWAYS)),
    "paper/memory": (memory("499e6"), memory("501e6")),
    "paper/memory-flat": (
        series_of("trading_memory_leak_suspected", NEVER),
        series_of("trading_memory_leak_suspected", ALWAYS),
    ),
    "paper/orders": (
        rate("trading_orders_total", "outcome", "filled", "rejected", NEVER),
        rate("trading_orders_total", "outcome", "filled", "rejected", COUNTING),
    ),
    "paper/feed": (feed(f"0+60x{DAY}"), feed(f"60x{DAY}")),
    "paper/call-errors": (
        rate("trading_venue_requests_total", "code", "ok", "timeout", NEVER),
        rate("trading_venue_requests_total", "code", "ok", "timeout", COUNTING),
    ),
    "paper/nonces": (nonces(NEVER), nonces(COUNTING)),
    "120h/availability": (
        {f"up{{{JOB}}}": f"1x{DAY}"},
        {f"up{{{JOB}}}": f"1x{DAY - 20} 0x20"},
    ),
    "120h/total-loss": (
        series_of("trading_realized_pnl", f"-5+1x{DAY}", ', currency="USD"'),
        series_of("trading_realized_pnl", f"5x{DAY}", ', currency="USD"'),
    ),
    "live/mode": (mode("live", ALWAYS), mode("live", FIRST_HALF) | mode("paper", SECOND_HALF)),
    "live/positions": (
        series_of("trading_open_positions", f"3x{DAY}"),
        series_of("trading_open_positions", f"4x{DAY}"),
    ),
    "live/daily-loss": (
        series_of("trading_daily_loss", f"20x{DAY}"),
        series_of("trading_daily_loss", f"21x{DAY}"),
    ),
    "live/total-loss": (
        series_of("trading_drawdown", f"30x{DAY}"),
        series_of("trading_drawdown", f"31x{DAY}"),
    ),
    "five-dollars/exposure": (
        series_of("trading_exposure", f"5x{DAY}"),
        series_of("trading_exposure", f"6x{DAY}"),
    ),
    "five-dollars/pairs": (pairs(1), pairs(2)),
    "seven-dollars/exposure": (
        series_of("trading_exposure", f"7x{DAY}"),
        series_of("trading_exposure", f"8x{DAY}"),
    ),
    "second-pair/exposure": (
        series_of("trading_exposure", f"14x{DAY}"),
        series_of("trading_exposure", f"15x{DAY}"),
    ),
    "second-pair/pairs": (pairs(2), pairs(3)),
}
OTHERWISE_TESTED = {"validation/restore-tested", "paper/restarts"}

PASSED, FAILED = [{"labels": "{}", "value": 1}], [{"labels": "{}", "value": 0}]


def criteria() -> dict[str, Criterion]:
    """Return the criteria with a query by the phase or stage that has them."""
    found: dict[str, Criterion] = {}
    for at, stage in enumerate(PLAN.stages):
        first = PLAN.first_of_phase(at) == at
        for criterion in stage.criteria:
            named = (
                stage.name if not first or criterion.name in {"exposure", "pairs"} else stage.phase
            )
            found[f"{named}/{criterion.name}"] = criterion
    return {name: criterion for name, criterion in found.items() if criterion.query}


def case(criterion: Criterion, series: Series, expected: list[dict[str, object]]) -> Any:
    """Return a test of promtool: 1 inside the limit, 0 outside, no sample where it is unknown."""
    limit = criterion.limit
    assert limit is not None
    query = (
        criterion.query.replace("$bot", "alpha")
        .replace("$venue", "paper")
        .replace("$window", "60s")
        .replace("$run", "1d")
    )
    rows = [
        {"series": name.replace("trading-bot", _job(query, name)), "values": values}
        for name, values in series.items()
    ]
    expression = f"({query}) {limit.operator} bool {limit.value}"
    return {
        "interval": "1m",
        "input_series": rows,
        "promql_expr_test": [{"expr": expression, "eval_time": "24h", "exp_samples": expected}],
    }


def _job(query: str, series: str) -> str:
    """Return the job that the query pins for the metric of a series."""
    metric = series.partition("{")[0]
    pinned = re.search(rf'{metric}{{[^}}]*job="([^"]+)"', query)
    return pinned[1] if pinned else "trading-bot"


def check(folder: Path, cases: list[Any]) -> None:
    path = folder / "tests.yml"
    path.write_text(json.dumps({"rule_files": [], "tests": cases}))
    run_tool("promtool", "test", "rules", str(path))


def test_every_query_has_a_case() -> None:
    assert criteria().keys() - OTHERWISE_TESTED == CASES.keys()


def test_a_breach_fails_and_is_not_unknown(tmp_path: Path) -> None:
    plan = criteria()
    check(
        tmp_path,
        [
            case(plan[name], series, expected)
            for name, (good, bad) in CASES.items()
            for series, expected in ((good, PASSED), (bad, FAILED))
        ],
    )


def spiked(normal: int, spike: int) -> str:
    """Return values each 15 s for two minutes; the spike lasts 30 s inside the second minute."""
    return f"{normal}x4 {spike} {spike} {normal} {normal}"


def test_a_breach_of_30_seconds_inside_a_slot_fails(tmp_path: Path) -> None:
    plan, spike = criteria(), spiked(0, 1)
    series = {
        "paper/mode": mode("paper", spiked(1, 0)) | mode("live", spike),
        "live/mode": mode("live", spiked(1, 0)) | mode("paper", spike),
        "live/positions": series_of("trading_open_positions", spiked(1, 4)),
        "live/daily-loss": series_of("trading_daily_loss", spiked(1, 21)),
        "live/total-loss": series_of("trading_drawdown", spiked(1, 31)),
        "five-dollars/exposure": series_of("trading_exposure", spiked(1, 8)),
        "five-dollars/pairs": pairs(1)
        | series_of("trading_position", spiked(0, -1), ', symbol="other"'),
    }
    found = [case(plan[name], of, FAILED) for name, of in series.items()]
    for one in found:
        one["interval"] = "15s"
        one["promql_expr_test"][0]["eval_time"] = "2m"
    check(tmp_path, found)


def test_money_limits_are_for_the_sum_over_the_currencies(tmp_path: Path) -> None:
    """Half of each breaching amount in each of two currencies."""
    metrics = {
        "five-dollars/exposure": ("trading_exposure", 3),
        "live/daily-loss": ("trading_daily_loss", 11),
        "live/total-loss": ("trading_drawdown", 16),
    }
    plan = criteria()
    cases = []
    for name, (metric, half) in metrics.items():
        series: Series = {}
        for currency in ("USD", "EUR"):
            series |= series_of(metric, f"{half}x{DAY}", f', currency="{currency}"')
        cases.append(case(plan[name], series, FAILED))
    check(tmp_path, cases)


def test_a_bot_that_is_not_running_has_no_mode(tmp_path: Path) -> None:
    plan, stopped = criteria(), f"1x{DAY // 2} stale"
    check(
        tmp_path,
        [
            case(plan["paper/mode"], mode("paper", stopped), []),
            case(plan["live/mode"], mode("live", stopped), []),
        ],
    )


def test_an_approved_bot_may_still_be_on_paper(tmp_path: Path) -> None:
    """The operator approves first and switches the bot afterwards."""
    check(tmp_path, [case(criteria()["live/mode"], mode("paper", ALWAYS), [])])


def test_a_switch_inside_one_process_is_seen(tmp_path: Path) -> None:
    """The earlier mode is then exported as 0."""
    series = mode("live", f"1x{DAY // 2} 0x{DAY // 2}") | mode("paper", SECOND_HALF)
    check(tmp_path, [case(criteria()["live/mode"], series, FAILED)])
