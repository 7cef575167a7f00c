"""The model as the configuration wants it."""

from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.config import BotConfig
from trading_ops_lab.paper.bot.signals.advice import Advice, Note
from trading_ops_lab.paper.bot.signals.component import SOURCE
from trading_ops_lab.paper.bot.signals.model import MODEL, ModelProcess
from trading_ops_lab.paper.bot.signals.settings import Deciding, SignalSettings


def sources_of(settings: SignalSettings) -> list[str]:
    """Return the names under which metrics tell of signals."""
    if settings.source is not Deciding.MODEL:
        return [SOURCE]
    return [SOURCE, MODEL] if settings.stand_in else [MODEL]


def advice_of(config: BotConfig, metrics: BotMetrics, *, note: Note) -> Advice | None:
    """Return the model beside the strategy, or None without one."""
    if config.signals.source is not Deciding.MODEL:
        return None
    source = ModelProcess(config.state_dir, seed=config.signals.seed)
    return Advice(source, metrics, config.signals, note=note)
