"""The collector of one venue: schedules the requests and exports the results."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics_core import Metric

from trading_ops import clock, logs
from trading_ops.errors import ClientError, ConfigError
from trading_ops.exporter.config import CcxtEntry
from trading_ops.exporter.exchange.child_process import ChildProcess
from trading_ops.exporter.exchange.messages import ExchangeAnswer, FailureKind, Question, Setup
from trading_ops.exporter.secret import read_secret
from trading_ops.exporter.venue import skew, status_family
from trading_ops.instrument.families import family

_log = logs.get(__name__)


class ExchangeSource:
    """Reads public data, key permissions and balances; a failure does not hide earlier results."""

    def __init__(self, entry: CcxtEntry) -> None:
        self.name = f"ccxt:{entry.name}"
        self.interval_seconds = entry.interval_seconds
        self.timeout_seconds = entry.timeout_seconds
        self.child = ChildProcess()
        self._entry = entry
        self._label: tuple[str, ...] = (entry.name,)
        self._public = ExchangeAnswer()
        self._up = False
        self._last_success = 0.0
        self._skew: float | None = None
        self._failures = dict.fromkeys(FailureKind, 0)
        self._key_can_do_more: bool | None = None
        self._key_checked: Setup | None = None
        self._account: ExchangeAnswer | None = None
        """The last balances; None if they could not be read."""

        self._account_read = 0.0
        self._account_due = 0.0

    async def read(self) -> None:
        """Send the requests that are due.

        Raises:
            ClientError: a request failed.
            ConfigError: the key cannot be read, or has more than read permission.
        """
        try:
            setup = self._setup()
        except ConfigError:
            self._forget()
            raise
        await self._read_public(setup)
        if setup.key and clock.monotonic() >= self._account_due:
            await self._read_account(setup)

    def families(self, *, fresh: bool) -> Iterator[Metric]:  # noqa: ARG002 - see the Source
        """Return the metrics. With an invalid key the collector fails, but the venue is up."""
        label = self._label
        yield family("trading_venue_up", {label: float(self._up)})
        yield status_family(label, "online" if self._up else self._public.status)
        yield family("trading_venue_probe_duration_seconds", {label: self._public.duration})
        yield family("trading_venue_last_success_timestamp_seconds", {label: self._last_success})
        if self._skew is not None:
            yield family("trading_venue_clock_skew_seconds", {label: self._skew})
        if self._public.request_interval:
            interval = {label: self._public.request_interval}
            yield family("trading_venue_request_interval_seconds", interval)
        failures = {(*label, str(kind)): count for kind, count in self._failures.items()}
        yield family("trading_venue_probe_failures_total", failures)
        if self._entry.key_file is not None:
            yield from self._account_families()

    def _account_families(self) -> Iterable[Metric]:
        label, account = self._label, self._account
        yield family("trading_venue_account_up", {label: float(account is not None)})
        read = {label: self._account_read}
        yield family("trading_venue_account_last_success_timestamp_seconds", read)
        if self._key_can_do_more is not None:
            yield family("trading_venue_key_can_trade", {label: float(self._key_can_do_more)})
        if account is not None:
            total: dict[tuple[str, ...], float] = {}
            free: dict[tuple[str, ...], float] = {}
            for balance in account.balances:
                total[*label, balance.currency] = balance.total
                if balance.free is not None:
                    free[*label, balance.currency] = balance.free
            yield family("trading_venue_account_balance", total)
            yield family("trading_venue_account_free_balance", free)

    async def _read_public(self, setup: Setup) -> None:
        began, was_up = clock.monotonic(), self._up
        self._up = False  # until it is known to be up, whatever ends this call
        try:
            self._public = await self._ask(setup, Question.PUBLIC)
        except BaseException:
            self._public = ExchangeAnswer(duration=clock.monotonic() - began)
            raise
        if self._public.status != "ok":
            self._failures[FailureKind.MAINTENANCE] += 1
            raise ClientError(f"the venue reports {self._public.status!r}, not ok")
        self._up = True
        self._last_success = clock.timestamp()
        self._skew = _skew_of(self._public)
        if not was_up:
            _log.info("venue_answered", venue=self._entry.name)

    async def _read_account(self, setup: Setup) -> None:
        self._account_due = clock.monotonic() + self._entry.balance_interval_seconds
        self._account = None
        await self._check_key(setup)
        self._account = await self._ask(setup, Question.BALANCES)
        self._account_read = clock.timestamp()
        if self._account.left_out:
            raise ClientError(
                f"{self._account.left_out} balances are not exported: list the ones to export "
                "in `currencies`"
            )

    async def _check_key(self, setup: Setup) -> None:
        """Refuse a key with more than read permission, if the venue reports permissions."""
        if setup != self._key_checked:
            self._key_checked, self._key_can_do_more = setup, None
        if self._key_can_do_more is None:
            try:
                self._key_can_do_more = (await self._ask(setup, Question.KEY)).can_do_more
            except ClientError:
                return  # the error shows with the balances; retried the next time
        if self._key_can_do_more and not self._entry.accept_trading_key:
            self._key_checked = (
                None  # permissions can change at the venue while the key stays the same
            )
            raise ConfigError(
                str(self._entry.key_file),
                "",
                "the venue reports that this key has more than read permission",
                "create a read-only key, or set `accept_trading_key: true`",
            )

    async def _ask(self, setup: Setup, question: Question) -> ExchangeAnswer:
        try:
            answer = await self.child.ask(setup, question)
        except asyncio.CancelledError:  # the collector's timeout; the child was killed
            self._failures[FailureKind.TIMEOUT] += 1
            raise
        if answer.failure is not None:
            # It is not an error if a venue does not support the request for permissions.
            self._failures[answer.failure.kind] += question is not Question.KEY
            raise ClientError(f"{question}: {answer.failure.reason}")
        return answer

    def _setup(self) -> Setup:
        """Read the secrets again, so that a changed key is used immediately."""
        entry = self._entry
        files: Mapping[str, Path | None] = {
            "key": entry.key_file,
            "secret": entry.secret_file,
            "passphrase": entry.passphrase_file,
        }
        secrets = {
            name: read_secret(path, f"ccxt[{entry.name}].{name}_file", private=True)
            for name, path in files.items()
            if path is not None
        }
        return Setup(
            exchange=entry.exchange,
            # Two requests fit; the child is killed only if the venue is very slow.
            timeout_seconds=entry.timeout_seconds / 2.5,
            url=entry.url,
            request_interval=entry.request_interval_seconds,
            currencies=entry.currencies,
            **secrets,
        )

    def _forget(self) -> None:
        self._up, self._account = False, None


def _skew_of(answer: ExchangeAnswer) -> float | None:
    """Return the seconds by which the venue's clock is ahead, if it reported its time."""
    reported = answer.venue_time
    if reported is None:
        return None
    if reported.is_integer():  # a venue that reports whole seconds
        return skew(reported, answer.our_time)
    return reported - answer.our_time
