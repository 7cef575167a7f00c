"""Queries in one word each: a mapping of the legend to the PromQL, as the panels take it.

    age("trading_signal_timestamp_seconds", "bot", "source")
    {**rate("trading_nonces_issued_total", "bot", called="issued"), ...}

A legend is made of the labels that the series are told apart by, and of what they are `called`.
"""

RATE_INTERVAL = "$__rate_interval"


def most(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Ask for the largest of the series that agree in these labels."""
    return {_legend(by, called): f"max by ({', '.join(by)}) ({selector})"}


def least(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Ask for the smallest of the series that agree in these labels."""
    return {_legend(by, called): f"min by ({', '.join(by)}) ({selector})"}


def age(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Ask how many seconds ago a moment was, by the newest of the series."""
    return {_legend(by, called): f"time() - max by ({', '.join(by)}) ({selector})"}


def rate(selector: str, *by: str, called: str = "") -> dict[str, str]:
    """Ask how fast a counter grows, per second."""
    return {_legend(by, called): f"sum by ({', '.join(by)}) (rate({selector}[{RATE_INTERVAL}]))"}


def gain(
    selector: str, *by: str, called: str = "", window: str = RATE_INTERVAL, top: int = 0
) -> dict[str, str]:
    """Ask by how much a counter grew within a time; `top` leaves that many of the series."""
    grown = f"sum by ({', '.join(by)}) (increase({selector}[{window}]))"
    return {_legend(by, called): f"topk({top}, {grown})" if top else grown}


def forecast(
    selector: str, *by: str, called: str = "", over: str = "6h", hours: int = 24
) -> dict[str, str]:
    """Ask where a straight line through the recent past ends, some hours on."""
    line = f"predict_linear({selector}[{over}], {hours} * 3600)"
    return {_legend(by, called): f"max by ({', '.join(by)}) ({line})"}


def quantiles(metric: str, *by: str, window: str = RATE_INTERVAL) -> dict[str, str]:
    """Ask for a histogram's median and its 95th percentile."""
    growth = "rate" if window == RATE_INTERVAL else "increase"
    labels = ", ".join(("le", *by))
    return {
        _legend(by, name): f"histogram_quantile({quantile}, "
        f"sum by ({labels}) ({growth}({metric}_bucket[{window}])))"
        for name, quantile in (("half", 0.5), ("95 of 100", 0.95))
    }


def _legend(by: tuple[str, ...], called: str) -> str:
    labels = [f"{{{{{label}}}}}" for label in by]
    return " ".join((*labels, called) if called else labels)
