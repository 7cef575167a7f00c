"""A rejection, with Kraken's error message."""

from trading_ops.errors import TradingOpsError


class VenueRefusal(TradingOpsError):
    """The request was rejected, with the text that Kraken returns in `error`."""

    def __init__(self, code: str) -> None:
        """Keep the code, such as `EOrder:Insufficient funds`."""
        self.code = code
        super().__init__(code)
