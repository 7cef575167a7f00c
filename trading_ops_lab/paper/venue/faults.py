"""What is broken at the moment: the injected faults, whom they meet and how often.

The effects are elsewhere: a part that can be broken asks the board.
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
"""Kinds that meet one request, message or fill at a time: these can be counted and rolled for."""

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
    """Who asks for what: method, border (public, private, websocket), key and account."""

    method: str = ""
    border: str = ""
    key: str = ""
    account: str = ""


ErrorText = Annotated[str, msgspec.Meta(pattern=r"^E[A-Za-z]+:[ -~]{1,120}$")]


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a drill asks for; without `seconds` and `count` it lasts until cleared."""

    kind: Kind
    seconds: Positive | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """It ends after this many hits."""

    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    seed: int = 0
    """Of the dice that `probability` and random times roll: the same seed, the same strikes."""

    methods: frozenset[Name] = frozenset()
    """Only these Kraken methods or groups of them; all when empty."""

    accounts: frozenset[Name] = frozenset()
    keys: frozenset[Name] = frozenset()
    """Only these API keys, by the names that the configuration gives them."""

    code: Annotated[int, msgspec.Meta(ge=500, le=599)] = 503
    """Status of `http_5xx`."""

    delay_seconds: Positive = 2.0
    """How long `slow` keeps each request waiting, and `fill_late` the news of a fill."""

    error: ErrorText = "EService:Unavailable"
    """What `api_error` and `balance` answer."""

    instead: ErrorText | None = None
    """Status that `lost_answer` returns in place of the answer; None: the connection is closed."""

    where: Literal["rest", "websocket", "both"] = "both"
    """Which balances fail."""

    status: Status = "maintenance"
    """Of the venue (`maintenance`) or of a pair (`pair_status`)."""

    pair: Name = ""
    """Any name of the pair of `pair_status` or `price_jump`."""

    channels: frozenset[Channel] = frozenset()
    """Channels that fall silent or have gaps; all when empty."""

    percent: Annotated[float, msgspec.Meta(gt=-99, le=1000)] = -10.0
    """How far the price jumps."""

    offset_seconds: float = 300.0
    """How far the venue's clock is ahead."""

    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    """How much of an order is filled before `partial_cancel` cancels it."""

    tier: Tier = "starter"
    """Whose limits `rate_limit` enforces."""

    def __post_init__(self) -> None:
        """Refuse limits that the kind cannot keep.

        Raises:
            ValueError: a count, a probability or a target makes no sense for the kind.
        """
        if self.kind not in STRUCK and (self.count is not None or self.probability < 1):
            raise ValueError(f"{self.kind} has no count and no probability, only seconds")
        if self.kind not in TARGETED and (self.methods or self.accounts or self.keys):
            raise ValueError(f"{self.kind} affects all clients: remove methods, accounts and keys")
        if self.kind in {"pair_status", "price_jump"} and not self.pair:
            raise ValueError(f"{self.kind} needs a pair")


class Fault(FaultRequest, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A fault that was injected; times are epoch seconds."""

    id: str
    injected_at: float
    ends_at: float | None
    sessions_until: int
    """`disconnect`: sessions up to this number are dead."""

    connections: frozenset[int]
    """`stale_feed`: these feed connections get no data."""

    def meets(self, caller: Caller) -> bool:
        """Return whether the fault is meant for a caller."""
        return (
            caller.border != HAND
            and (not self.keys or caller.key in self.keys)
            and (not self.accounts or caller.account in self.accounts)
            and (not self.methods or any(_within(caller, name) for name in self.methods))
        )

    def silent(self, channel: str) -> bool:
        """Return whether a channel is meant."""
        return not self.channels or channel in self.channels


class FaultBoard:
    """The faults that are active, by id, in the order of their injection."""

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
            request: what is wanted.
            fault_id: its new id.
            now: epoch seconds.
            last_session: the newest session's number.
            connections: the feed connections that are open.
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
        """End one fault; None when there is none of this id."""
        self._left.pop(fault_id, None)
        self._dice.pop(fault_id, None)
        return self.active.pop(fault_id, None)

    def expire(self, now: float) -> list[Fault]:
        """End the faults whose time is over, and those that struck as often as they should."""
        over = [f for f in self.active.values() if f.ends_at is not None and f.ends_at <= now]
        # Hanging requests keep hanging: they are released when the fault is cleared or expires.
        spent = [self.active[name] for name, left in self._left.items() if left <= 0]
        over += [fault for fault in spent if fault.kind != "hang"]
        return [fault for fault in over if self.clear(fault.id) is not None]

    def find(self, kind: Kind, caller: Caller | None = None) -> Fault | None:
        """Return the newest active fault of a kind that is meant for the caller."""
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
        """Return the fault that meets this caller now, counted and rolled for; None if none."""
        fault = self.find(kind, caller)
        if fault is None or self.dice(fault).random() >= fault.probability:
            return None
        if fault.id in self._left:
            self._left[fault.id] -= 1
        return fault

    def dice(self, fault: Fault) -> random.Random:
        """Return the fault's own source of chance."""
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
