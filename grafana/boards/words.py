"""Shorthand for common queries: each returns a mapping of legend to PromQL.

    age("trading_signal_timestamp_seconds", "bot", "source")
    {**rate("trading_nonces_issued_total", "bot", called="issued"), ...}

A legend consists of the labels that distinguish the series, and of `called`.
"""

RATE_INTERVAL = "$__rate_interval"
HISTORY = "offset 30m"
MEMORY = "1h"
"""How long a bot that no longer answers is shown with its last value."""


def most(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Query the maximum of the series with the same values of these labels."""
    return {_legend(by, called): f"max by ({', '.join(by)}) ({selector})"}


def least(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Query the minimum of the series with the same values of these labels."""
    return {_legend(by, called): f"min by ({', '.join(by)}) ({selector})"}


def age(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Return the age in seconds of the newest timestamp; a timestamp of 0 is ignored."""
    return {_legend(by, called): f"time() - max by ({', '.join(by)}) ({selector} > 0)"}


def last_known(selector: str) -> str:
    """Return the value of each bot, and the last one of a bot that no longer answers."""
    return f"(max by (bot) ({selector}) or max by (bot) (last_over_time({selector}[{MEMORY}])))"


def rate(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Query how fast a counter grows, per second."""
    return {_legend(by, called): f"sum by ({', '.join(by)}) (rate({selector}[{RATE_INTERVAL}]))"}


def per_minute(selector: str, *by: str) -> dict[str, str]:
    """Query how fast a counter grows, per minute: for events that happen a few times a minute."""
    return {legend: f"60 * {query}" for legend, query in rate(selector, *by).items()}


def gain(
    selector: str, *by: str, called: str = "", window: str = RATE_INTERVAL, growing: bool = False
) -> dict[str, str]:
    """Query by how many whole counts a counter grew; `growing` omits the series that did not."""
    grown = f"round(sum by ({', '.join(by)}) (increase({selector}[{window}])))"
    return {_legend(by, called): f"{grown} > 0" if growing else grown}


def forecast(
    selector: str, *by: str, called: str = "", over: str = "6h", hours: int = 24
) -> dict[str, str]:
    """Query a linear forecast for some hours ahead, but not below 0."""
    line = linear(selector, over=over, seconds=hours * 3600)
    return {_legend(by, called): f"max by ({', '.join(by)}) ({line})"}


def linear(selector: str, *, over: str = "6h", seconds: int = 24 * 3600) -> str:
    """Return the forecast of each series that has `HISTORY`: fewer samples prove no slope."""
    line = f"clamp_min(predict_linear({selector}[{over}], {seconds}), 0)"
    return f"{line} and {selector} {HISTORY}"


def down_or_all(label: str, *metrics: str) -> str:
    """Query the states of everything that was down in the time range, and all others as one series.

    A timeline with fifty bands then has a single band while all are up.
    """
    now = " or ".join(metrics)
    lowest = " or ".join(f"min_over_time({metric}[$__range])" for metric in metrics)
    was_down = f"min by ({label}) ({lowest}) == 0"
    down = f"min by ({label}) ({now}) and on ({label}) ({was_down})"
    rest = f"min(({now}) unless on ({label}) ({was_down}))"
    return f'({down}) or label_replace({rest}, "{label}", "all others", "", "")'


def quantiles(
    metric: str, *by: str, window: str = RATE_INTERVAL, of: tuple[int, ...] = (50, 95)
) -> dict[str, str]:
    """Query percentiles of a histogram; without observations there is no value, instead of NaN."""
    growth = "rate" if window == RATE_INTERVAL else "increase"
    labels = ", ".join(("le", *by))
    return {
        _legend(by, f"p{percent}"): f"histogram_quantile({percent / 100:g}, "
        f"sum by ({labels}) ({growth}({metric}_bucket[{window}]))) >= 0"
        for percent in of
    }


def _legend(by: tuple[str, ...], called: str) -> str:
    labels = [f"{{{{{label}}}}}" for label in by]
    return " ".join((*labels, called) if called else labels)
