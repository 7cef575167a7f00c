"""Which scrape job owns which metric."""

from trading_ops.exporter.freqtrade import message_metrics
from trading_ops.exporter.freqtrade.facts import NAMES
from trading_ops.instrument import catalogue
from trading_ops.instrument.metric import Owner
from trading_ops.instrument.topics.backups import BACKUP_METRICS

FREQTRADE = {*NAMES, *message_metrics.NAMES}
"""The exporter serves these in a bot's place, under the jobs of the bots."""

OF_BOTS = {
    name
    for metric in catalogue.CATALOGUE
    for name in metric.sample_names
    if metric.name in FREQTRADE or metric.owner in {Owner.BOT, Owner.WATCHERS, Owner.PROCESS}
}


def pin_of(name: str) -> str:
    """Return the matcher with which a rule selects a metric of ours."""
    metric = catalogue.find(name)
    if metric is not None and metric.owner is Owner.NODE:
        return 'job=~"trading-node|supervisor"'  # the lab's supervisor has the API of a node
    if metric in BACKUP_METRICS and metric.vital:
        return 'job=~"trading-(reconciler|node)"'  # each for its own host
    return f'job="{job_of(name)}"'


def job_of(name: str) -> str:
    """Return the job whose samples of a metric count."""
    if name.startswith(("prometheus_", "alertmanager_")):
        return name.partition("_")[0]
    metric = catalogue.find(name)
    assert metric is not None, name
    if name in OF_BOTS:
        return "trading-bot" if metric.vital else "trading-bot-detail"
    if metric.owner is Owner.NODE:
        return "trading-node"
    if metric.owner is Owner.RECONCILER:
        return "trading-reconciler" if metric.vital else "trading-reconciler-detail"
    return "trading-exporter"
