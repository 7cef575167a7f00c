"""What the exporter and the child process say to each other: one line of JSON each."""

from enum import StrEnum

import msgspec

LONGEST_LINE = 1024 * 1024


class Question(StrEnum):
    """What the child is asked."""

    PUBLIC = "public"
    """Is the venue there, and what time is it there?"""

    KEY = "key"
    """Can the key do more than read?"""

    BALANCES = "balances"


class FailureKind(StrEnum):
    """Why a venue did not do as asked."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    MAINTENANCE = "maintenance"
    RATE_LIMIT = "rate_limit"
    KEY = "key"
    """The venue does not know the key, or the signature is wrong."""

    PERMISSION = "permission"
    """The key may not do this."""

    NONCE = "nonce"
    """Another client uses the same key, or the clock stepped back."""

    OTHER = "other"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which venue, and how to get in. Never logged."""

    exchange: str
    timeout_seconds: float
    url: str | None = None
    request_interval: float | None = None
    """Seconds; None: what ccxt keeps to for the venue."""

    key: str = ""
    secret: str = ""
    passphrase: str = ""
    currencies: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """The venue did not do as asked."""

    kind: FailureKind
    reason: str


class Balance(msgspec.Struct, frozen=True):
    """What an account has of one currency."""

    currency: str
    total: float
    free: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The child's answer to any question; fields that were not requested are None."""

    failure: Failure | None = None
    duration: float = 0.0
    """Seconds that the first request took."""

    status: str | None = None
    """`ok`, or the error of the venue."""

    venue_time: float | None = None
    """The venue's seconds since the epoch, and ours halfway between asking and hearing."""

    our_time: float = 0.0
    request_interval: float = 0.0
    """Least seconds between two requests that ccxt keeps to."""

    can_do_more: bool | None = None
    """Whether the key can trade or withdraw; None: the venue does not report it."""

    balances: tuple[Balance, ...] = ()
    left_out: int = 0
    """Balances that were too many."""
