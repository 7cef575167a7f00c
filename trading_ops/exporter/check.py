"""Checks a valid configuration against this machine: files, folders, venues."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from trading_ops.errors import ConfigError
from trading_ops.exporter.config import CcxtEntry, ExporterConfig, ProcessEntry
from trading_ops.exporter.secret import read_secret


def problems(config: ExporterConfig, where: str) -> Iterator[str]:
    """Yield what the configuration needs and this machine lacks, one sentence each.

    Args:
        config: as loaded, so its syntax and values are valid.
        where: the file, for the sentences.
    """
    yield from _secret(config.metrics_token_file, "metrics_token_file")
    for path in config.paths:
        if not path.exists():
            yield str(ConfigError(where, "paths", f"{path} does not exist", "name a folder"))
    for bot in config.freqtrades:
        yield from _secret(bot.credentials_file, f"freqtrades[{bot.name}].credentials_file")
    for database in config.postgresql:
        yield from _secret(database.dsn_file, f"postgresql[{database.name}].dsn_file")
    for venue in config.ccxt:
        yield from _venue(venue, where)
    for process in config.processes:
        yield from _process(process, where)


def _venue(venue: CcxtEntry, where: str) -> Iterator[str]:
    key = f"ccxt[{venue.name}]"
    secrets = {
        "key_file": venue.key_file,
        "secret_file": venue.secret_file,
        "passphrase_file": venue.passphrase_file,
    }
    for name, path in secrets.items():
        if path is not None:
            yield from _secret(path, f"{key}.{name}", private=True)
    yield from _exchange(venue.exchange, where, f"{key}.exchange")


def _process(process: ProcessEntry, where: str) -> Iterator[str]:
    folder = process.pid_file.parent if process.pid_file else None
    if folder is not None and not folder.is_dir():
        key = f"processes[{process.name}].pid_file"
        yield str(ConfigError(where, key, f"{folder} does not exist", "name the file as it is"))


def _secret(path: Path, key: str, *, private: bool = False) -> Iterator[str]:
    try:
        read_secret(path, key, private=private)
    except ConfigError as error:
        yield str(error)


def _exchange(exchange: str, where: str, key: str) -> Iterator[str]:
    found = importlib.util.find_spec("ccxt")
    if found is None or not found.submodule_search_locations:
        fix = "pip install ccxt, where trading-ops is installed"
        yield str(ConfigError(where, key, "ccxt is not installed", fix))
    elif not (Path(found.submodule_search_locations[0]) / f"{exchange}.py").is_file():
        fix = "write one of ccxt's ids, such as kraken, binance or bybit"
        yield str(ConfigError(where, key, f"ccxt does not support venue {exchange!r}", fix))
