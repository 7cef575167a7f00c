"""Recurring jobs of the reconciler."""

from functools import partial

from trading_ops.instrument.metric import Metric, MetricType, Owner

_gauge = partial(Metric, kind=MetricType.GAUGE, owner=Owner.RECONCILER)

JOB_METRICS: tuple[Metric, ...] = (
    _gauge(
        name="trading_ops_job_expected_timestamp_seconds",
        unit="seconds",
        labels=("name",),
        help="Latest start of a job's next run, Unix time.",
        why="In the past: the job missed its schedule.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_job_failing",
        labels=("name",),
        help="1 if the last run of a job failed or its outcome is unknown, else 0.",
        why="Failed backups, checks and cleanups otherwise go unnoticed.",
        vital=True,
    ),
    _gauge(
        name="trading_ops_job_last_success_timestamp_seconds",
        unit="seconds",
        labels=("name",),
        help="End of a job's last successful run, Unix time; 0: never.",
        why="The age of the job's result.",
    ),
    _gauge(
        name="trading_ops_job_duration_seconds",
        unit="seconds",
        labels=("name",),
        help="Duration of the last run of a job.",
        why="A job that slows down will reach its timeout.",
    ),
)
