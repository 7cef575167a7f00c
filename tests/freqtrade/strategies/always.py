# mypy: ignore-errors
"""A strategy that enters at each candle and never exits on its own, for tests."""

from freqtrade.strategy import IStrategy
from pandas import DataFrame


class AlwaysEnters(IStrategy):
    """Whether entries are made is then Freqtrade's state alone."""

    timeframe = "1m"
    startup_candle_count = 5
    minimal_roi: dict[str, float] = {}  # noqa: RUF012 - the shape that Freqtrade documents
    stoploss = -0.99
    can_short = False
    process_only_new_candles = True

    def populate_indicators(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict) -> DataFrame:
        return dataframe
