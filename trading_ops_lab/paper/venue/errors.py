"""A rejection, with Kraken's error message."""

from trading_ops.errors import TradingOpsError


class VenueRefusal(TradingOpsError):
    """The request was refused; the text is what Kraken puts into `error`."""

    def __init__(self, code: str) -> None:
        """Keep the code, such as `EOrder:Insufficient funds`."""
        self.code = code
        super().__init__(code)
