"""The active faults: whom they affect, and how often.

The effects are elsewhere: each part that can fail checks the board.
"""

import random
from typing import Annotated, Final, Literal, get_args

import msgspec

Kind = Literal[
    # Connections.
    "disconnect",
    "refuse",
    "hang",
    "reset",
    "slow",
    "http_5xx",
    "http_429",
    # Answers.
    "api_error",
    "nonce",
    "lost_answer",
    "rate_limit",
    "balance",
    # The market.
    "maintenance",
    "pair_status",
    "price_jump",
    "wrong_clock",
    # The feed.
    "stale_feed",
    "gapped_feed",
    # Orders and fills.
    "fill_twice",
    "fill_late",
    "partial_cancel",
]
KINDS: Final = get_args(Kind)

STRUCK: Final = frozenset(
    {"hang", "reset", "slow", "http_5xx", "http_429", "api_error", "nonce", "lost_answer"}
    | {"balance", "gapped_feed", "fill_twice", "fill_late", "partial_cancel"}
)
"""Kinds that affect single requests, messages or fills: they can have a count and a probability."""

TARGETED: Final = STRUCK | {"rate_limit"}
"""Kinds that can be limited to methods, accounts and keys."""

Status = Literal["online", "maintenance", "cancel_only", "post_only", "limit_only"]
Tier = Literal["starter", "intermediate", "pro", "paper"]
Channel = Literal["ticker", "book", "trade", "instrument", "executions", "balances"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(max_length=64)]

HAND: Final = "hand"
"""The interface for manual trades; faults do not affect it."""

GROUPS: Final = {
    "orders": frozenset(
        {"AddOrder", "AmendOrder", "CancelOrder", "CancelOrderBatch", "CancelAll"}
        | {"CancelAllOrdersAfter"}
    ),
    "balances": frozenset({"Balance", "BalanceEx", "TradeBalance"}),
    "history": frozenset(
        {"ClosedOrders", "TradesHistory", "QueryTrades", "Ledgers", "QueryLedgers"}
    ),
}
"""Names for several methods; `public`, `private` and `websocket` are known too."""


class Caller(msgspec.Struct, frozen=True):
    """The caller: method, API (public, private, websocket), key and account."""

    method: str = ""
    border: str = ""
    key: str = ""
    account: str = ""


ErrorText = Annotated[str, msgspec.Meta(pattern=r"^E[A-Za-z]+:[ -~]{1,120}$")]


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requested fault; without `seconds` and `count` it lasts until cleared."""

    kind: Kind
    seconds: Positive | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """It ends after it has been applied this often."""

    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    seed: int = 0
    """Seed of `probability` and random times: the same seed gives the same results."""

    methods: frozenset[Name] = frozenset()
    """Only these Kraken methods or groups of them; all when empty."""

    accounts: frozenset[Name] = frozenset()
    keys: frozenset[Name] = frozenset()
    """Only these API keys, by the names that the configuration gives them."""

    code: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    """Status of `http_5xx`."""

    delay_seconds: Positive = 2.0
    """Delay of each request with `slow`, and of the report of a fill with `fill_late`."""

    error: ErrorText = "EService:Unavailable"
    """Error that `api_error` and `balance` return."""

    instead: ErrorText | None = None
    """Status that `lost_answer` returns in place of the answer; None: the connection is closed."""

    where: Literal["rest", "websocket", "both"] = "both"
    """The balances that fail."""

    status: Status = "maintenance"
    """Status of the venue (`maintenance`) or of a pair (`pair_status`)."""

    pair: Name = ""
    """Any name of the pair of `pair_status` or `price_jump`."""

    channels: frozenset[Channel] = frozenset()
    """Channels that become silent or have gaps; empty: all."""

    percent: Annotated[float, msgspec.Meta(gt=-99, le=1000)] = -10.0
    """Size of the price jump."""

    offset_seconds: float = 300.0
    """How far the venue's clock is ahead."""

    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    """How much of an order is filled before `partial_cancel` cancels it."""

    tier: Tier = "starter"
    """Tier whose limits `rate_limit` enforces."""

    def __post_init__(self) -> None:
        """Refuse conditions that the kind does not support.

        Raises:
            ValueError: the kind does not support the count, the probability or the target.
        """
        if self.kind not in STRUCK and (self.count is not None or self.probability < 1):
            raise ValueError(f"{self.kind} has no count and no probability, only seconds")
        if self.kind not in TARGETED and (self.methods or self.accounts or self.keys):
            raise ValueError(f"{self.kind} affects all clients: remove methods, accounts and keys")
        if self.kind in {"pair_status", "price_jump"} and not self.pair:
            raise ValueError(f"{self.kind} needs a pair")


class Fault(FaultRequest, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """An injected fault; times are epoch seconds."""

    id: str
    injected_at: float
    ends_at: float | None
    sessions_until: int
    """`disconnect`: sessions up to this number are dead."""

    connections: frozenset[int]
    """`stale_feed`: these feed connections get no data."""

    def meets(self, caller: Caller) -> bool:
        """Return whether the fault applies to a caller."""
        return (
            caller.border != HAND
            and (not self.keys or caller.key in self.keys)
            and (not self.accounts or caller.account in self.accounts)
            and (not self.methods or any(_within(caller, name) for name in self.methods))
        )

    def silent(self, channel: str) -> bool:
        """Return whether the fault applies to a channel."""
        return not self.channels or channel in self.channels


class FaultBoard:
    """The active faults by id, in the order of their injection."""

    def __init__(self) -> None:
        self.active: dict[str, Fault] = {}
        self._left: dict[str, int] = {}
        self._dice: dict[str, random.Random] = {}

    def inject(
        self,
        request: FaultRequest,
        *,
        fault_id: str,
        now: float,
        last_session: int,
        connections: frozenset[int],
    ) -> Fault:
        """Add a fault that starts now.

        Args:
            request: the requested fault.
            fault_id: its new id.
            now: epoch seconds.
            last_session: the newest session's number.
            connections: the open feed connections.
        """
        fault = Fault(
            **{name: getattr(request, name) for name in request.__struct_fields__},
            id=fault_id,
            injected_at=now,
            ends_at=None if request.seconds is None else now + request.seconds,
            sessions_until=last_session if request.kind == "disconnect" else 0,
            connections=connections if request.kind == "stale_feed" else frozenset(),
        )
        self.active[fault.id] = fault
        self._dice[fault.id] = random.Random(request.seed)  # noqa: S311  # seeded on purpose
        if request.count is not None:
            self._left[fault.id] = request.count
        return fault

    def clear(self, fault_id: str) -> Fault | None:
        """End one fault; None if the id is unknown."""
        self._left.pop(fault_id, None)
        self._dice.pop(fault_id, None)
        return self.active.pop(fault_id, None)

    def expire(self, now: float) -> list[Fault]:
        """End the faults whose time or count is used up."""
        over = [f for f in self.active.values() if f.ends_at is not None and f.ends_at <= now]
        # Hanging requests keep hanging: they are released when the fault is cleared or expires.
        spent = [self.active[name] for name, left in self._left.items() if left <= 0]
        over += [fault for fault in spent if fault.kind != "hang"]
        return [fault for fault in over if self.clear(fault.id) is not None]

    def find(self, kind: Kind, caller: Caller | None = None) -> Fault | None:
        """Return the newest active fault of a kind that applies to the caller."""
        return next(
            (f for f in reversed(self.all(kind)) if caller is None or f.meets(caller)), None
        )

    def all(self, kind: Kind) -> list[Fault]:
        """Return the active faults of a kind, oldest first."""
        return [
            fault
            for fault in self.active.values()
            if fault.kind == kind and self._left.get(fault.id, 1) > 0
        ]

    def strike(self, kind: Kind, caller: Caller) -> Fault | None:
        """Return the fault that applies to this request by count and probability, or None."""
        fault = self.find(kind, caller)
        if fault is None or self.dice(fault).random() >= fault.probability:
            return None
        if fault.id in self._left:
            self._left[fault.id] -= 1
        return fault

    def dice(self, fault: Fault) -> random.Random:
        """Return the fault's own random generator."""
        return self._dice.setdefault(fault.id, random.Random(fault.seed))  # noqa: S311

    def kills(self, session: int) -> bool:
        """Return whether an edge session is dead."""
        return any(fault.sessions_until >= session for fault in self.active.values())

    def silences(self, connection: int, channel: str = "ticker") -> bool:
        """Return whether a feed connection gets no data of a channel."""
        return any(
            connection in fault.connections and fault.silent(channel)
            for fault in self.active.values()
        )


def _within(caller: Caller, name: str) -> bool:
    return name in {caller.method, caller.border} or caller.method in GROUPS.get(name, ())
