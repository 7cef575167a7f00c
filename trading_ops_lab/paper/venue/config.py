"""The venue's configuration: one JSON file, checked completely before anything starts."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from trading_ops.errors import ConfigError
from trading_ops.redaction import known
from trading_ops_lab.paper.venue.account import Fees
from trading_ops_lab.paper.venue.faults import Tier
from trading_ops_lab.paper.venue.pairs import ASSETS
from trading_ops_lab.paper.venue.signing import ApiKey, decode_secret

MANUAL: Final = "see trading_ops_lab/paper/venue/config.py for the keys"
LAST_PORT: Final = 65_535
LARGEST_FUNDS: Final = 10**12
SMALLEST_JOURNAL: Final = 1000


class KeyFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of one API key, and the account it acts for."""

    key_file: str
    secret_file: str
    account: str
    name: str = ""
    """Its name in the journal and in faults; empty: the account's name."""


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses are HOST:PORT; fees are shares of the cost; new accounts get `funds`."""

    address: str
    faults_address: str
    state_dir: str
    seed: int
    faults_token_file: str
    keys: list[KeyFiles]
    maker_fee: Decimal = Decimal("0.0016")
    taker_fee: Decimal = Decimal("0.0026")
    funds: dict[str, Decimal] = msgspec.field(
        default_factory=lambda: {
            "ZUSD": Decimal(100_000),
            "XXBT": Decimal(1),
            "XETH": Decimal(10),
            "SOL": Decimal(100),
        }
    )
    tick_seconds: float = 0.25
    """Time between two steps of the prices."""

    heartbeat_seconds: float = 1.0
    """Time between two heartbeats of the feed."""

    tier: Tier | None = None
    """The tier whose rate limits are enforced; empty: none."""

    journal_entries: int = 200_000
    """Maximum number of entries; older ones are dropped."""

    journal_bytes: int = 64 * 1024 * 1024
    """Size at which `journal.jsonl` is renamed to `journal.jsonl.1`; one old file is kept."""

    @property
    def fees(self) -> Fees:
        """Both fees."""
        return Fees(maker=self.maker_fee, taker=self.taker_fee)

    @property
    def accounts(self) -> list[str]:
        """Names of all accounts, each once."""
        return list(dict.fromkeys(key.account for key in self.keys))


def load_config(path: Path) -> VenueConfig:
    """Read and check the file.

    Raises:
        ConfigError: it is missing or not JSON, or a key is unknown, missing or invalid.
    """
    try:
        config = msgspec.json.decode(path.read_bytes(), type=VenueConfig)
    except OSError as error:
        raise ConfigError(str(path), "", error.strerror or "unreadable", "name a file") from error
    except msgspec.ValidationError as error:
        raise ConfigError(str(path), _key(str(error)), str(error), MANUAL) from error
    except msgspec.DecodeError as error:
        raise ConfigError(str(path), "", str(error), "write one JSON object") from error
    for name in ("address", "faults_address"):
        split_address(str(path), name, getattr(config, name))
    _check_amounts(str(path), config)
    _check_names(str(path), config)
    if not config.keys:
        raise ConfigError(str(path), "keys", "no API key is given", "name at least one")
    return config


def split_address(where: str, key: str, address: str) -> tuple[str, int]:
    """Split HOST:PORT.

    Raises:
        ConfigError: it has another form.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > LAST_PORT:
        raise ConfigError(where, key, f"{address!r} is not HOST:PORT", "write 127.0.0.1:8401")
    return host, int(port)


def read_secret(where: str, path: str) -> str:
    """Return the content of a file with one secret.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(where, path, "the secret cannot be read", "write it first") from error
    if not text:
        raise ConfigError(where, path, "the secret is empty", "write it first")
    return known(text)


def read_keys(config: VenueConfig) -> list[ApiKey]:
    """Read all API keys and their secrets.

    Raises:
        ConfigError: a file cannot be read, or a secret is not base64.
    """
    keys = []
    for files in config.keys:
        secret = read_secret("keys", files.secret_file)
        try:
            decoded = decode_secret(secret)
        except ValueError as error:
            fix = "write the base64 of random bytes"
            raise ConfigError("keys", files.secret_file, "it is not base64", fix) from error
        keys.append(
            ApiKey(
                read_secret("keys", files.key_file),
                decoded,
                files.account,
                name=files.name or files.account,
            )
        )
    return keys


def _check_amounts(where: str, config: VenueConfig) -> None:
    for name in ("maker_fee", "taker_fee"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(where, name, "it is not a fraction", "write 0.0026")
    for name in ("tick_seconds", "heartbeat_seconds"):
        if not getattr(config, name) > 0:
            raise ConfigError(where, name, "it is not a duration", "write seconds above 0")
    for asset, amount in config.funds.items():
        if asset not in ASSETS or not 0 <= amount < LARGEST_FUNDS:
            fix = f"give amounts below {LARGEST_FUNDS} of {', '.join(ASSETS)}"
            raise ConfigError(where, f"funds.{asset}", f"{amount} cannot be given", fix)


def _check_names(where: str, config: VenueConfig) -> None:
    for name in ("journal_entries", "journal_bytes"):
        if getattr(config, name) < SMALLEST_JOURNAL:
            fix = f"write a number from {SMALLEST_JOURNAL} on"
            raise ConfigError(where, name, "too small", fix)
    names = [key.name or key.account for key in config.keys]
    if len(set(names)) < len(names):
        fix = "give the keys of one account different names"
        raise ConfigError(where, "keys", "two keys have the same name", fix)


def _key(message: str) -> str:
    """Extract the invalid key from msgspec's message."""
    field = re.search(r"field `([^`]+)`", message)
    place = re.search(r"at `\$\.?([^`]*)`", message)
    parts = [place.group(1) if place else "", field.group(1) if field else ""]
    return ".".join(part for part in parts if part)
