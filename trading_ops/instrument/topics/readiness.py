"""Readiness runs from paper to live."""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.RECONCILER)

READINESS_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_readiness_stage",
        labels=("bot",),
        help="Stage of a bot's readiness run, from 1; 0: no run.",
        why="A decrease means that a criterion failed and the run stepped back.",
    ),
    _gauge(
        name="trading_ops_readiness_credited_seconds",
        unit="seconds",
        labels=("bot",),
        help="Operating time that counts for the stage.",
        why="Does not grow while data is missing or a criterion is not passed.",
    ),
    _gauge(
        name="trading_ops_readiness_criteria",
        labels=("bot", "status"),
        values={"status": ("passed", "failed", "unknown")},
        help="Active criteria by state.",
        why="Unknown criteria never pass: a metric is missing or a check was not run.",
    ),
    _gauge(
        name="trading_ops_readiness_criteria_regressed",
        labels=("bot",),
        help="Criteria that had passed and now fail.",
        why="The bot is no longer ready.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_readiness_held",
        labels=("bot",),
        help="1 while a run that stepped back from a live stage waits for approval, else 0.",
        why="The bot is reduce-only until an operator approves.",
    ),
    _gauge(
        name="trading_ops_readiness_sign_off_due_timestamp_seconds",
        unit="seconds",
        labels=("bot",),
        help="Deadline of the next sign-off, Unix time; absent when none is due.",
        why="Operating time after it does not count.",
        vital=True,
    ),
)
