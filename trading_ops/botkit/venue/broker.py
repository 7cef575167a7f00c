"""The broker component: owns the HTTP session with the venue and makes every request on it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import nullcontext
from decimal import Decimal
from typing import TypeVar

import aiohttp

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component
from trading_ops.botkit.leadership.permit import NotLeader, Permit, allow_all, before_sending
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.venue.adapter import AnyVenueAdapter, ConnectedVenueAdapter, VenueAdapter
from trading_ops.botkit.venue.balances import Balances
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused, error_code
from trading_ops.botkit.venue.prober import CURRENT_PROBES, Prober
from trading_ops.botkit.venue.rate_limit import RateLimit
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

Result = TypeVar("Result")
Request = Callable[[VenueAdapter], Awaitable[Result]]

THRESHOLD = 2
"""Consecutive failed requests that open the breaker: the next probe confirms a first failure."""


class Broker(Component):
    """Probes the venue at an interval, and makes requests one at a time while it answers.

    A session that the venue has dropped is *not* replaced automatically: the component stays down
    until `reconnect` or a restart opens a new one. A dropped session can have a cause (a blocked
    address, a revoked key), so replacing it is a recorded action. After an outage of the venue the
    same session works again.

    Example:
        broker = Broker(metrics, make_client=make_venue, nonces=nonces, probe_interval_seconds=1)
        supervisor = Supervisor([broker])
        supervisor.start()
        await broker.wait_up()
        orders = await broker.call("OpenOrders", lambda venue: venue.open_orders())
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        make_client: Callable[[], AnyVenueAdapter],
        nonces: Nonces | None = None,
        probe_interval_seconds: float,
        currencies: Collection[str] = (),
        permit: Permit = allow_all,
        rate_limit: RateLimit | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        """Start down and without a session; `run` opens it.

        Args:
            metrics: of the bot.
            make_client: creates the adapter, which must take its nonces from `nonces`.
            nonces: of the API key; None for a venue without nonces.
            probe_interval_seconds: time between two probes, and the breaker's cool-off.
            currencies: whose balances are exported; the account may hold others.
            permit: called before each request, and again when its connection is ready; raises
                `NotLeader` to stop it.
            rate_limit: counts requests against the venue's limit; None where it is unknown.
            prepare: runs in a thread before `make_client`, for example a slow import.
        """
        super().__init__(
            "broker", metrics, threshold=THRESHOLD, cool_off_seconds=probe_interval_seconds
        )
        self.funds = Balances(
            metrics, currencies=currencies, rest_seconds=CURRENT_PROBES * probe_interval_seconds
        )
        """The account's balances from the best current source."""

        self._make_client = make_client
        self._nonces = nonces
        self._interval = probe_interval_seconds
        self.pause: Callable[[float], float] = float
        """Returns the pause to make instead of the configured one; see `Throttle.pause`."""

        self.prober = Prober(metrics, self.funds, interval_seconds=probe_interval_seconds)
        self._client: AnyVenueAdapter | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sessions = 0
        self._loaded = False
        self._stopped = False
        self._permit = permit
        self._rate_limit = rate_limit
        self._prepare = prepare
        # Nonces must reach the venue in the order in which they are issued.
        self._lock = asyncio.Lock()

    @property
    def client(self) -> AnyVenueAdapter:
        """Return the adapter, for methods that make no request, such as `rules`.

        Raises:
            VenueDown: markets are not loaded yet.
        """
        if self._client is None or not self._loaded:
            raise VenueDown("broker: markets are not loaded")
        return self._client

    @property
    def balances(self) -> Mapping[str, Decimal]:
        """Return totals by currency; empty before the first answer."""
        return self.funds.amounts

    @property
    def balances_at(self) -> float | None:
        """Return the time of `balances` in seconds since the epoch; None before the first."""
        return self.funds.at

    async def run(self) -> None:
        """Probe until cancelled."""
        if self._client is None:
            if self._prepare is not None:
                await asyncio.to_thread(self._prepare)
            self._client, self._loaded = self._make_client(), False
            self._begin_session(self._client)
        while True:
            if self.breaker.allow():
                await self._probe()
            self.funds.export()  # also when nothing was read: the age grows
            if self._rate_limit is not None:
                self._rate_limit.export()
            await self.prober.store_last_balances()
            await asyncio.sleep(self.pause(self._interval))

    async def close(self) -> None:
        """Close the session and the adapter."""
        await super().close()
        client, session = self._client, self._session
        self._client = self._session = None
        if session is not None:
            await session.close()
        if client is not None:
            await client.close()

    async def reconnect(self) -> str:
        """Replace the session by a new one, and verify it with a request.

        Returns:
            A message for the caller of the command.

        Raises:
            CommandFailed: there is no session yet, or the venue does not answer on the new one.
        """
        client, old = self._client, self._session
        if client is None:
            raise CommandFailed("the broker is starting: there is no session to replace")
        self._begin_session(client)
        if old is not None:
            await old.close()
        self.breaker.reset()
        if self.breaker.allow():
            await self._probe()
        if not self.up:
            raise CommandFailed(f"a new session was opened, but {self.detail}")
        return "a new session was opened and the venue answers on it"

    def stop_sending(self) -> None:
        """Reject every further request, for an immediate shutdown."""
        self._stopped = True

    async def call(self, endpoint: str, request: Request[Result]) -> Result:
        """Make a request, after those that are already waiting.

        Args:
            endpoint: as in `venue.adapter.ENDPOINTS`, for metrics and the rate limit.
            request: called with the adapter.

        Raises:
            VenueDown: the broker is down and nothing was sent, or the request failed and may have
                had an effect.
            VenueRefused: the venue rejected the request, which had no effect.
            NotLeader: this instance may not submit orders; nothing was sent.
        """
        if not self.breaker.closed:
            raise VenueDown(f"broker: {self.detail}")
        return await self._send(endpoint, request, probes=False)

    def _begin_session(self, client: AnyVenueAdapter) -> None:
        if isinstance(client, ConnectedVenueAdapter):
            client.renew()
        else:
            # The venue identifies a session by its cookie; by default aiohttp keeps no cookies of
            # hosts that are IP addresses.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.CookieJar(unsafe=True),
                trace_configs=[before_sending(self._permit)],
            )
            client.use_session(self._session)
        self._sessions += 1
        if self._sessions > 1:
            self.metrics.venue_session_restarted()
        log.info("session_started", number=self._sessions)

    async def _probe(self) -> None:
        try:
            if not self._loaded:
                await self._send("AssetPairs", lambda client: client.load_markets())
                self._loaded = True
            trial = not self.breaker.closed
            if not await self.prober.read_balances(self._send, trial=trial):
                await self._send("OpenOrders", lambda client: client.open_orders())
        except (VenueDown, VenueRefused) as error:
            self.detail = str(error)
            if not self.breaker.closed or not self._loaded:
                self.mark(up=False, detail=self.detail)
            return
        if not self.up:
            self.prober.reset()
        self.mark(up=True, detail="the venue answers")
        await self.prober.read_clock(self._send)

    async def _send(
        self,
        endpoint: str,
        request: Request[Result],
        *,
        counts: bool = True,
        probes: bool = True,
    ) -> Result:
        """Make a request.

        Only a request that was rejected for its nonce, and so had no effect, is sent again.

        Args:
            endpoint: as for `call`.
            request: as for `call`.
            counts: whether a failure counts for the breaker.
            probes: whether an unknown error counts too. It does not for requests of the bot: the
                venue did answer, and one faulty endpoint must not stop the others.
        """
        async with self._lock:
            session, client = self._sessions, self._client
            if client is None:
                raise VenueDown("broker: closed")
            try:
                async with self._nonces.request_lock() if self._nonces else nullcontext():
                    result = await self._with_nonce_retry(client, endpoint, request)
            except Exception as error:
                understood = probes or error_code(error) != "other"
                current = counts and understood and session == self._sessions
                raise self._failure(endpoint, error, current=current) from error
            if session == self._sessions:
                self.succeed()
            return result

    async def _with_nonce_retry(
        self, client: VenueAdapter, endpoint: str, request: Request[Result]
    ) -> Result:
        if self._nonces is None:
            return await self._send_once(client, endpoint, request)
        await self._nonces.reserve()
        try:
            return await self._send_once(client, endpoint, request)
        except Exception as error:
            if error_code(error) != "invalid_nonce":
                raise
            # Another client used this key with higher nonces. A second rejection is not retried:
            # that client is still active.
            log.warning("nonce_refused", endpoint=endpoint)
            if not await self._nonces.jump_ahead():
                raise
            return await self._send_after_jump(client, self._nonces, endpoint, request)

    async def _send_after_jump(
        self, client: VenueAdapter, nonces: Nonces, endpoint: str, request: Request[Result]
    ) -> Result:
        try:
            return await self._send_once(client, endpoint, request)
        except Exception as error:
            if error_code(error) == "invalid_nonce":
                nonces.record_repeated_rejection()
            raise

    async def _send_once(
        self, client: VenueAdapter, endpoint: str, request: Request[Result]
    ) -> Result:
        if self._stopped:
            raise VenueDown("broker: the bot is stopping and sends no requests")
        self._permit(endpoint)
        if self._rate_limit is not None:
            self._rate_limit.request_sent(endpoint)
        began = clock.monotonic()
        code = "other"
        try:
            result = await request(client)
            code = "ok"
        except Exception as error:
            code = error_code(error)
            if code == "rate_limited" and self._rate_limit is not None:
                self._rate_limit.limit_reached()
            raise
        else:
            return result
        finally:
            self.metrics.venue_request(endpoint, code=code, seconds=clock.monotonic() - began)

    def _failure(self, endpoint: str, error: Exception, *, current: bool) -> Exception:
        """Return the error to raise for a failed request, and count it for the breaker."""
        if isinstance(error, NotLeader):
            return error  # no request was sent
        code = error_code(error)
        detail = f"{endpoint}: {code}: {str(error)[:200]}"
        if code == "refused":
            if current:
                self.succeed()
            return VenueRefused(detail)
        log.warning("request_failed", endpoint=endpoint, code=code, error=str(error)[:200])
        # A failure on a replaced session does not concern the new one.
        if current:
            self.fail(detail)
            if not self.breaker.closed:
                self.mark(up=False, detail=detail)
        return VenueDown(detail)
