"""Building blocks for a crash-safe trading bot; docs/botkit.md shows each one alone.

Install with `pip install 'trading-ops[botkit]'`. Nothing in here knows the reconciler.
"""

from trading_ops.botkit.circuit_breaker import BreakerState, CircuitBreaker
from trading_ops.botkit.component import Component, Unavailable
from trading_ops.botkit.nonces.issuer import Nonces, Sharing, open_nonces
from trading_ops.botkit.nonces.source import NonceExhausted
from trading_ops.botkit.orders.book import Book
from trading_ops.botkit.orders.checks import (
    Check,
    Intent,
    allowed_by_gate,
    deny_while,
    first_denial,
    fresh_quote,
    large_enough,
)
from trading_ops.botkit.orders.events import journal_event, repeat_events
from trading_ops.botkit.orders.market import Quote, Rules
from trading_ops.botkit.orders.order import (
    Fill,
    Order,
    OrderStatus,
    OrderType,
    Position,
    VenueOrder,
    new_client_id,
)
from trading_ops.botkit.orders.sync import OrderSync
from trading_ops.botkit.reconciliation.component import Reconciliation
from trading_ops.botkit.reconciliation.state import ExternalTradePolicy, OrphanPolicy, Policy
from trading_ops.botkit.records.driver import ThreadedDatabase
from trading_ops.botkit.records.events import Event
from trading_ops.botkit.records.sqlite import SqliteDriver
from trading_ops.botkit.records.store import Store
from trading_ops.botkit.risk.guard import RiskGuard
from trading_ops.botkit.risk.settings import RiskLimits
from trading_ops.botkit.shutdown import ShutdownSeconds, ShutdownStep, StopSignals, run_steps
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.throttle import Throttle
from trading_ops.botkit.venue.adapter import ENDPOINTS, HttpVenueAdapter, VenueAdapter
from trading_ops.botkit.venue.balances import Balances
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.ccxt_venue import CcxtVenue
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused
from trading_ops.botkit.venue.rate_limit import RateLimitCounter, Tier

__all__ = [
    "ENDPOINTS",
    "Balances",
    "Book",
    "BreakerState",
    "Broker",
    "CcxtVenue",
    "Check",
    "CircuitBreaker",
    "Component",
    "Event",
    "ExternalTradePolicy",
    "Fill",
    "HttpVenueAdapter",
    "Intent",
    "NonceExhausted",
    "Nonces",
    "Order",
    "OrderStatus",
    "OrderSync",
    "OrderType",
    "OrphanPolicy",
    "Policy",
    "Position",
    "Quote",
    "RateLimitCounter",
    "Reconciliation",
    "RiskGuard",
    "RiskLimits",
    "Rules",
    "Sharing",
    "ShutdownSeconds",
    "ShutdownStep",
    "SqliteDriver",
    "StopSignals",
    "Store",
    "Supervisor",
    "ThreadedDatabase",
    "Throttle",
    "Tier",
    "Unavailable",
    "VenueAdapter",
    "VenueDown",
    "VenueOrder",
    "VenueRefused",
    "allowed_by_gate",
    "deny_while",
    "first_denial",
    "fresh_quote",
    "journal_event",
    "large_enough",
    "new_client_id",
    "open_nonces",
    "repeat_events",
    "run_steps",
]
