"""Who may ask the agent: whoever carries one of its bearer tokens."""

from trading_ops.instrument.bearer import bearer_is_one_of

__all__ = ["bearer_is_one_of"]
