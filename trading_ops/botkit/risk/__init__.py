"""Risk limits: checked before each order, and monitored between orders.

`settings` has the limits, `checks` the pre-trade checks, `guard` the component that monitors losses
and positions and places holds, `protection` the stop-loss orders at the venue. `limits` and
`losses` are the arithmetic behind them, without side effects.
"""
