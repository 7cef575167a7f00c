"""Messages between the exporter and the child process, one line of JSON each."""

from enum import StrEnum

import msgspec

LONGEST_LINE = 1024 * 1024


class Question(StrEnum):
    """A request to the child."""

    PUBLIC = "public"
    """Status and time of the venue."""

    KEY = "key"
    """Whether the key has more than read permission."""

    BALANCES = "balances"


class FailureKind(StrEnum):
    """Why a request to a venue failed."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    MAINTENANCE = "maintenance"
    RATE_LIMIT = "rate_limit"
    KEY = "key"
    """The venue does not know the key, or the signature is invalid."""

    PERMISSION = "permission"
    """The key has no permission for this."""

    NONCE = "nonce"
    """Another client uses the same key, or the clock stepped back."""

    OTHER = "other"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the venue and its credentials. Never logged."""

    exchange: str
    timeout_seconds: float
    url: str | None = None
    request_interval: float | None = None
    """Minimum seconds between requests; None: ccxt's limit for the venue."""

    key: str = ""
    secret: str = ""
    passphrase: str = ""
    currencies: tuple[str, ...] = ()


class RequestFailure(msgspec.Struct, frozen=True):
    """A failed request to the venue."""

    kind: FailureKind
    reason: str


class CurrencyBalance(msgspec.Struct, frozen=True):
    """Balance of one currency."""

    currency: str
    total: float
    free: float | None = None


class ExchangeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The child's answer to a request; fields that were not requested are None."""

    failure: RequestFailure | None = None
    duration: float = 0.0
    """Duration of the first request in seconds."""

    status: str | None = None
    """`ok`, or the venue's error."""

    venue_time: float | None = None
    """The venue's seconds since the epoch, and ours halfway between request and response."""

    our_time: float = 0.0
    request_interval: float = 0.0
    """Minimum seconds between two requests according to ccxt."""

    can_do_more: bool | None = None
    """Whether the key can trade or withdraw; None: not reported by the venue."""

    balances: tuple[CurrencyBalance, ...] = ()
    left_out: int = 0
    """Number of balances beyond the limit."""
