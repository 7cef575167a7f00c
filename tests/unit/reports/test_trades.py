"""Figures of trades: a missing value is not zero."""

from datetime import timedelta
from typing import Any

from tests.builders import NOW
from trading_ops.domain.bot_event import BotEvent, BotEventKind, message_of
from trading_ops.domain.message import MessageKind, Severity
from trading_ops.reports.trades import SHOWN, closed_trades, trade_figures, watch_list


def event(kind: BotEventKind = BotEventKind.TRADE, bot: str = "alpha", **over: Any) -> BotEvent:
    values: dict[str, Any] = {
        "event": "e1",
        "severity": Severity.INFO,
        "at": NOW,
        "received_at": NOW,
        "strategy": "",
        "symbol": "ETH/USD",
        "order_id": "",
        "correlation": "",
        "summary": "bought",
        "data": {},
    }
    return BotEvent(bot=bot, kind=kind, **(values | over))


def trade(bot: str = "alpha", **data: object) -> BotEvent:
    return event(bot=bot, data={"currency": "USD", **data})


def test_profits_fees_and_their_ratio() -> None:
    """Two wins of 30, a loss of 10, a purchase; another bot apart."""
    found = [
        trade(fee="0.1"),
        trade(fee="0.1", profit="20"),
        trade(fee="0.1", profit="10"),
        trade(profit="-10"),
        trade(bot="beta", profit="5"),
    ]
    alpha, beta = trade_figures(found)
    assert (alpha.trades, alpha.closed, alpha.profit, alpha.fees) == (4, 3, 20.0, 0.3)
    assert (alpha.win_ratio, alpha.profit_factor) == (2 / 3, 3.0)
    assert alpha.slippage is None
    assert (beta.trades, beta.profit_factor, beta.fees) == (1, None, None)


def test_slippage_is_summed_over_the_fills_that_have_one() -> None:
    """A gain at one fill offsets a cost at another."""
    (alpha,) = trade_figures([trade(slippage="1.5"), trade(), trade(slippage="-0.5")])
    assert alpha.slippage == 1.0


def test_an_order_filled_in_parts_is_one_closed_trade() -> None:
    """Five fills of one sale that lost in the end, and one that won."""
    data = [{"currency": "USD", "profit": profit} for profit in ("1", "1", "1", "1", "-9")]
    fills = [event(order_id="sale", data=part) for part in data]
    (alpha,) = trade_figures([*fills, event(order_id="other", data=data[0])])
    assert (alpha.trades, alpha.closed, alpha.profit) == (6, 2, -4.0)
    assert (alpha.win_ratio, alpha.profit_factor) == (0.5, 0.2)


def test_what_is_no_number_does_not_count() -> None:
    """The data is a bot's claim."""
    claims: list[object] = ["NaN", "Infinity", "x", None, [], "2"]
    (alpha,) = trade_figures([trade(profit=claim) for claim in claims])
    assert (alpha.trades, alpha.closed, alpha.profit) == (6, 1, 2.0)


def test_the_newest_closed_trades_are_listed_oldest_first() -> None:
    """A purchase realizes nothing; a fee that was not reported is unknown, not zero."""
    newest_first = [trade(profit=str(number)) for number in range(SHOWN + 5, 0, -1)]
    lines = closed_trades([trade(fee="0.1"), *newest_first])
    assert [line.profit for line in lines] == list(range(6, SHOWN + 6))
    assert {(line.bot, line.symbol, line.currency, line.fee) for line in lines} == {
        ("alpha", "ETH/USD", "USD", None)
    }


def test_an_order_filled_in_parts_is_one_line() -> None:
    """With the time of the newest fill; the same order ID of another bot is another order."""
    later = NOW + timedelta(minutes=5)
    fills = [
        event(order_id="o", at=later, data={"currency": "USD", "profit": "0.2", "fee": "0.1"}),
        event(order_id="o", bot="beta", data={"currency": "USD", "profit": "7"}),
        event(order_id="o", data={"currency": "USD", "profit": "0.1", "fee": "0.2"}),
    ]
    beta, alpha = closed_trades(fills)
    assert (alpha.at, alpha.bot, alpha.profit, alpha.fee) == (later, "alpha", 0.3, 0.3)
    assert (beta.bot, beta.profit, beta.fee) == ("beta", 7.0, None)


def test_the_watch_list_has_the_last_signal_of_each_symbol() -> None:
    """Events come newest first."""
    signals = [
        event(BotEventKind.SIGNAL, summary="flat", strategy="sma"),
        event(BotEventKind.SIGNAL, summary="long", symbol="BTC/USD"),
        event(BotEventKind.SIGNAL, summary="long"),
        event(BotEventKind.SIGNAL, bot="beta", summary="short"),
    ]
    found = [(symbol.bot, symbol.symbol, symbol.signal) for symbol in watch_list(signals)]
    assert found == [
        ("alpha", "ETH/USD", "flat"),
        ("alpha", "BTC/USD", "long"),
        ("beta", "ETH/USD", "short"),
    ]


def test_which_events_are_sent() -> None:
    """Trades and risk always; the rest only when it is more than routine."""
    kinds = {
        (kind, severity): message_of(event(kind, severity=severity))
        for kind in BotEventKind
        for severity in (Severity.INFO, Severity.WARNING)
    }
    sent = {key: kind.kind for key, kind in kinds.items() if kind is not None}
    info = {kind: sent.get((kind, Severity.INFO)) for kind in BotEventKind}
    assert info == {
        BotEventKind.TRADE: MessageKind.TRADE,
        BotEventKind.RISK: MessageKind.RISK,
        BotEventKind.ORDER: None,
        BotEventKind.SIGNAL: None,
        BotEventKind.SYSTEM: None,
    }
    assert sent[BotEventKind.ORDER, Severity.WARNING] is MessageKind.ERROR


def test_a_restart_is_a_message_of_its_own() -> None:
    """A bot that is back says how long it was away."""
    restart = event(BotEventKind.SYSTEM, data={"away_seconds": "12.0"})
    message = message_of(restart)
    assert message is not None
    assert message.kind is MessageKind.RESTART
    assert message.facts["Away"] == "12.0 s"
