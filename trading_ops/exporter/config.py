"""The exporter's configuration file."""

from pathlib import Path

import msgspec

from trading_ops.errors import ConfigError


class VenueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A venue to probe."""

    name: str
    """The value of the label `venue`."""

    address: str
    """`host:port` of its REST interface."""


class FreqtradeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Freqtrade to read."""

    name: str
    """Its target's name, and so the value of the label `bot`."""

    address: str
    """`host:port` of its REST API."""

    credentials_file: Path
    """One line, `user:password`, as `api_server` in Freqtrade's configuration has them."""


class ExporterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    address: str
    """`host:port` on which metrics are served."""

    metrics_token_file: Path
    venues: tuple[VenueEntry, ...] = ()
    paths: tuple[Path, ...] = ()
    """Folders whose file systems are watched."""

    freqtrades: tuple[FreqtradeEntry, ...] = ()


def load_config(path: Path) -> ExporterConfig:
    """Read the file.

    Raises:
        ConfigError: it cannot be read or does not fit.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExporterConfig, dec_hook=_decode)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            str(path), "", str(error), "start it through `trading-ops up`, which writes the file"
        ) from error


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)  # msgspec's way to hear that a type is unknown
