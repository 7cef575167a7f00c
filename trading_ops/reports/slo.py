"""The service level objectives, and the rules generated from them: `prometheus/rules/slo.yml`.

    python -m trading_ops.reports.slo

Names and labels match Sloth, so that its public dashboards work. Each objective counts bad events
and all events of a bot; a process or a feed counts as one event per second. Longer windows are
averages of the five-minute rates, weighted by events.
"""

from dataclasses import dataclass
from pathlib import Path

HEAD = """\
# Written by `python -m trading_ops.reports.slo`; change the objectives there. Recording rules are
# named as in Sloth. Burning the monthly error budget pages if it would be exhausted in two to five
# days, and opens a ticket if in ten to thirty. Both alerts use a short and a long window, and skip
# bots with too few events or too short a history.
groups:
"""
WINDOWS = ("30m", "1h", "2h", "6h", "1d", "3d", "30d")
PERIOD_DAYS = 30
SAMPLES = PERIOD_DAYS * 86400 // 30
"""Samples of a rule in a whole period, one every 30 s."""

OF_A_SERIES = "instance, job, pod, strategy, team, host"
VITAL, DETAIL = 'job="trading-bot"', 'job="trading-bot-detail"'
"""The scrape job of a bot's metric, which excludes other processes."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One objective of every bot."""

    name: str
    percent: float
    """Percentage of all events that must be good."""

    bad: str
    """PromQL for the bad events per second over five minutes, by bot and venue."""

    events: str
    """The same for all events."""

    why: str


def _total(selector: str, *labels: str) -> str:
    away = ", ".join((*labels, OF_A_SERIES))
    return f"sum without ({away}) (rate({selector}[5m]))"


def _slower(metric: str, seconds: str, *labels: str) -> tuple[str, str]:
    """Return the queries for events above a bucket's bound, and for all events."""
    events = _total(f"{metric}_count{{{DETAIL}}}", *labels)
    fast = _total(f'{metric}_bucket{{{DETAIL}, le="{seconds}"}}', "le", *labels)
    # After a restart, a bucket can increase without the count: never below zero.
    return f"clamp_min({events} - {fast}, 0)", events


def _down(selector: str, *labels: str) -> tuple[str, str]:
    """Return the queries for the share of samples at 0, and for one event per second."""
    away = ", ".join((*labels, OF_A_SERIES))
    up = f"max without ({away}) (avg_over_time({selector}[5m]))"
    return f"1 - {up}", f"{up} * 0 + 1"


def objectives() -> tuple[Objective, ...]:
    """Return every objective."""
    requests, orders = "trading_venue_requests_total", "trading_orders_total"
    up = _down(f"up{{{VITAL}}}", "exporter")
    feed = _down(f'trading_component_up{{{VITAL}, component="feed"}}', "component")
    api = _slower("trading_venue_request_duration_seconds", "0.1", "endpoint")
    data = _slower("trading_market_data_latency_seconds", "0.05", "symbol")
    slow = _slower("trading_order_duration_seconds", "1.0")
    found = (
        ("availability", 99.9, *up, "a scrape of the bot is answered"),
        ("api-latency", 99.0, *api, "a call to the venue is answered within 100 ms"),
        ("market-data-latency", 95.0, *data, "a price arrives within 50 ms"),
        ("order-latency", 99.0, *slow, "an order is acknowledged within a second"),
        (
            "order-success",
            95.0,
            _total(f'{orders}{{{DETAIL}, outcome=~"rejected|expired"}}', "outcome"),
            _total(f'{orders}{{{DETAIL}, outcome!="denied"}}', "outcome"),
            "an order that was sent is neither rejected nor expires",
        ),
        (
            "venue-calls",
            99.9,
            _total(f'{requests}{{{DETAIL}, code!~"ok|refused"}}', "code", "endpoint"),
            _total(f"{requests}{{{DETAIL}}}", "code", "endpoint"),
            "a call to the venue is answered",
        ),
        (
            "nonces",
            99.9,
            _total(f"trading_nonces_refused_total{{{VITAL}}}"),
            _total(f"trading_nonces_issued_total{{{DETAIL}}}"),
            "a nonce is accepted",
        ),
        ("feed-connected", 99.0, *feed, "the market data feed is connected"),
    )
    return tuple(
        Objective(name=name, percent=percent, bad=bad, events=events, why=why)
        for name, percent, bad, events, why in found
    )


def _record(name: str, expr: str, labels: dict[str, str]) -> str:
    text = ", ".join(f"{key}: {value}" for key, value in labels.items())
    return (
        f"      - record: {name}\n        expr: |\n          {expr}\n        labels: {{{text}}}\n\n"
    )


def _group(objective: Objective) -> str:
    slo = {
        "sloth_id": f"trading-bot-{objective.name}",
        "sloth_service": "trading-bot",
        "sloth_slo": objective.name,
    }
    me = f'{{sloth_id="{slo["sloth_id"]}"}}'
    text = f"  # {objective.percent:g} %: {objective.why}.\n"
    text += f"  - name: sloth-slo-{slo['sloth_id']}\n    interval: 30s\n    rules:\n"
    text += _record("slo:sli_bad:rate5m", objective.bad, slo)
    text += _record("slo:sli_events:rate5m", objective.events, slo)
    ratio = f"slo:sli_bad:rate5m{me} / slo:sli_events:rate5m{me}"
    text += _record("slo:sli_error:ratio_rate5m", ratio, slo | {"sloth_window": "5m"})
    for window in WINDOWS:
        ratio = (
            f"avg_over_time(slo:sli_bad:rate5m{me}[{window}])"
            f" / avg_over_time(slo:sli_events:rate5m{me}[{window}])"
        )
        ratio = ratio.replace(" / ", "\n          / ")
        labels = slo | {"sloth_window": window}
        text += _record(f"slo:sli_error:ratio_rate{window}", ratio, labels)
    budget = round(1 - objective.percent / 100, 6)
    text += _record("slo:objective:ratio", f"vector({objective.percent / 100:g})", slo)
    text += _record("slo:error_budget:ratio", f"vector({budget:g})", slo)
    text += _record("slo:time_period:days", f"vector({PERIOD_DAYS})", slo)
    by = "/ on (sloth_id) group_left () slo:error_budget:ratio"
    for name, window in (("current", "5m"), ("period", "30d")):
        expr = (
            f"sum without (sloth_window) (slo:sli_error:ratio_rate{window}{me})\n          {by}{me}"
        )
        text += _record(f"slo:{name}_burn_rate:ratio", expr, slo)
    # Time that is not measured yet has used no budget.
    measured = f"count_over_time(slo:sli_events:rate5m{me}[{PERIOD_DAYS}d]) / {SAMPLES}"
    left = f"1 - slo:period_burn_rate:ratio{me}\n          * clamp_max({measured}, 1)"
    text += _record("slo:period_error_budget_remaining:ratio", left, slo)
    values = slo | {"sloth_version": "none", "sloth_spec": "none", "sloth_mode": "none"}
    values |= {"sloth_objective": f'"{objective.percent:g}"'}
    return text + _record("sloth_slo_info", "vector(1)", values)


_ALERTS = """\
  - name: trading-slo
    interval: 30s
    rules:
      # At least ten events and half an hour of history in the last hour. Suppressed for an outage
      # that TradingBotDown has paged, until the short window no longer contains it.
      - alert: TradingErrorBudgetBurnFast
        expr: |
          (
{fast}
          )
          and ignoring (sloth_window)
            avg_over_time(slo:sli_events:rate5m[1h]) * 3600 > 10
          and ignoring (sloth_window)
            count_over_time(slo:sli_events:rate5m[1h]) > 60
{paged_for_35m}
        for: 30s
        keep_firing_for: 2m
        labels:
          severity: critical
          page_after: 15m
        annotations:
          summary: A bot burns its error budget fast enough to exhaust it within days.
          description: >-
            {{{{ $value | humanizePercentage }}}} of the events of {{{{ $labels.sloth_slo }}}}
            of bot {{{{ $labels.bot }}}} on venue {{{{ $labels.venue }}}} are bad, many times the
            rate that the monthly error budget allows.
          runbook_url: https://trading-ops.example.invalid/runbooks/TradingErrorBudgetBurnFast.md
          dashboard_url: http://127.0.0.1:3000/d/trading-ops-slo?var-bot={{{{ $labels.bot }}}}

      # The same for a slow burn, with at least six hours of history and more events.
      - alert: TradingErrorBudgetBurnSlow
        expr: |
          (
{slow}
          )
          and ignoring (sloth_window)
            avg_over_time(slo:sli_events:rate5m[1d]) * 86400 > 30
          and ignoring (sloth_window)
            count_over_time(slo:sli_events:rate5m[1d]) > 720
{paged_for_6h}
        for: 5m
        keep_firing_for: 10m
        labels:
          severity: warning
          page_after: 15m
        annotations:
          summary: A bot burns more of its error budget than a month allows.
          description: >-
            {{{{ $value | humanizePercentage }}}} of the events of {{{{ $labels.sloth_slo }}}}
            of bot {{{{ $labels.bot }}}} on venue {{{{ $labels.venue }}}} are bad. At this rate
            the monthly error budget runs out.
          runbook_url: https://trading-ops.example.invalid/runbooks/TradingErrorBudgetBurnSlow.md
          dashboard_url: http://127.0.0.1:3000/d/trading-ops-slo?var-bot={{{{ $labels.bot }}}}
"""


def _burning(*pairs: tuple[str, str, float]) -> str:
    """Return the condition that both windows of a pair exceed their burn rate."""

    def above(window: str, factor: float) -> str:
        return (
            f"sum without (sloth_window) (slo:sli_error:ratio_rate{window})\n"
            "                  > on (sloth_id) group_left ()"
            f" {factor:g} * slo:error_budget:ratio"
        )

    parts = [
        f"              (\n                  {above(short, factor)}\n                and\n"
        f"                  {above(long, factor)}\n              )"
        for short, long, factor in pairs
    ]
    return "\n            or\n".join(parts)


def _not_paged_within(window: str) -> str:
    return (
        "          unless on (bot, venue, sloth_slo) label_replace(\n"
        "            max_over_time(\n"
        '              ALERTS{alertname="TradingAlertPersists", alertstate="firing", '
        f'origin="TradingBotDown"}}[{window}]\n'
        "            ),\n"
        '            "sloth_slo", "availability", "", ""\n'
        "          )"
    )


def rules() -> str:
    """Return the whole file."""
    fast = _burning(("5m", "1h", 14.4), ("30m", "6h", 6))
    slow = _burning(("2h", "1d", 3), ("6h", "3d", 1))
    groups = "".join(_group(objective) for objective in objectives())
    return (
        HEAD
        + groups
        + _ALERTS.format(
            fast=fast,
            slow=slow,
            paged_for_35m=_not_paged_within("35m"),
            paged_for_6h=_not_paged_within("6h"),
        )
    )


def main() -> None:
    """Write the file in the working directory, a checkout."""
    path = Path("prometheus") / "rules" / "slo.yml"
    path.write_text(rules(), encoding="utf-8")


if __name__ == "__main__":
    main()
