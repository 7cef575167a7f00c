"""The broker component: owns the HTTP session with the venue and every request on it."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from decimal import Decimal
from typing import TypeVar

import aiohttp

from trading_ops import clock, logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component
from trading_ops.botkit.leadership.permit import NotLeader, Permit, allow_all, before_sending
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.venue.allowance import Allowance
from trading_ops.botkit.venue.balances import Balances
from trading_ops.botkit.venue.errors import VenueDown, VenueRefused, code_of
from trading_ops.botkit.venue.port import Adapter
from trading_ops.botkit.venue.prober import CURRENT_PROBES, Prober
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

Result = TypeVar("Result")
Request = Callable[[Adapter], Awaitable[Result]]

THRESHOLD = 2
"""Failed requests in a row that open the breaker: one can be chance, and a probe is a second."""


class Broker(Component):
    """Probes the venue at an interval, and lets requests through while it answers.

    A session that the venue has dropped for good is *not* replaced in here: the probes go on with
    it, and the component stays down, until `reconnect` or a restart makes a new one. That a session
    dies may have a cause (a blocked address, a revoked key), and what mends it is a recorded
    decision, not a reflex. A venue that is merely away is back on the same session.
    """

    def __init__(
        self,
        metrics: BotMetrics,
        *,
        make_client: Callable[[], Adapter],
        nonces: Nonces,
        probe_interval_seconds: float,
        currencies: Collection[str] = (),
        permit: Permit = allow_all,
        allowance: Allowance | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        """Take what the session is made of.

        Args:
            metrics: of the bot.
            make_client: makes the adapter, which issues its nonces from `nonces`.
            nonces: of the key.
            probe_interval_seconds: time between two probes, and the breaker's cool-off.
            currencies: whose balances are recorded; the account may hold others.
            permit: asked before each request, and again when it is about to leave.
            allowance: counts requests against the venue's limit, where that is known.
            prepare: runs in a thread before `make_client`, such as a slow import.
        """
        super().__init__(
            "broker", metrics, threshold=THRESHOLD, cool_off_seconds=probe_interval_seconds
        )
        self.funds = Balances(
            metrics, currencies=currencies, rest_seconds=CURRENT_PROBES * probe_interval_seconds
        )
        """What the account has, from the best source there is."""

        self._make_client = make_client
        self._nonces = nonces
        self._interval = probe_interval_seconds
        self.pause: Callable[[float], float] = float
        """Returns the pause to make instead of the configured one."""

        self.prober = Prober(metrics, self.funds, interval_seconds=probe_interval_seconds)
        self._client: Adapter | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sessions = 0
        self._loaded = False
        self._sealed = False
        self._permit = permit
        self._allowance = allowance
        self._prepare = prepare
        # Nonces must arrive in the order in which they are issued.
        self._turn = asyncio.Lock()

    @property
    def client(self) -> Adapter:
        """Return the client, for what needs no request.

        Raises:
            VenueDown: markets were not loaded yet.
        """
        if self._client is None or not self._loaded:
            raise VenueDown("broker: markets are not loaded")
        return self._client

    @property
    def balances(self) -> Mapping[str, Decimal]:
        """Return what the account has, by currency; empty before it was ever known."""
        return self.funds.amounts

    @property
    def balances_at(self) -> float | None:
        """Return when that held, in seconds since the epoch."""
        return self.funds.at

    async def run(self) -> None:
        """Probe until cancelled."""
        if self._session is None:
            if self._prepare is not None:
                await asyncio.to_thread(self._prepare)
            self._client, self._loaded = self._make_client(), False
            self._begin_session()
        while True:
            if self.breaker.allow():
                await self._probe()
            self.funds.show()  # which also tells when nothing was read for long
            if self._allowance is not None:
                self._allowance.show()
            await self.prober.keep_balances()
            await asyncio.sleep(self.pause(self._interval))

    async def close(self) -> None:
        """End the session and the client."""
        await super().close()
        client, session = self._client, self._session
        self._client = self._session = None
        if session is not None:
            await session.close()
        if client is not None:
            await client.close()

    async def reconnect(self) -> str:
        """Replace the session by a new one, and prove it with a request.

        Raises:
            CommandFailed: there is no session yet, or the venue does not answer on the new one.
        """
        old = self._session
        if old is None:
            raise CommandFailed("the broker is starting: there is no session to replace")
        self._begin_session()
        await old.close()
        self.breaker.reset()
        if self.breaker.allow():
            await self._probe()
        if not self.up:
            raise CommandFailed(f"a new session was begun, but {self.detail}")
        return "a new session was begun and the venue answers on it"

    def seal(self) -> None:
        """Send nothing any more, whoever asks."""
        self._sealed = True

    async def call(self, endpoint: str, request: Request[Result]) -> Result:
        """Make a request while the broker is up.

        Raises:
            VenueDown: it is down, or this request failed; what was sent may have arrived.
            VenueRefused: the venue said no.
        """
        if not self.breaker.closed:
            raise VenueDown(f"broker: {self.detail}")
        return await self._send(endpoint, request, probes=False)

    def _begin_session(self) -> None:
        # The venue's edge knows a session by its cookie; aiohttp keeps none of an IP address
        # unless the jar is told to.
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), trace_configs=[before_sending(self._permit)]
        )
        self._session = session
        if self._client is not None:
            self._client.use(session)
        self._sessions += 1
        if self._sessions > 1:
            self.metrics.venue_session_restarted()
        log.info("session_begun", number=self._sessions)

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
            self.prober.begin_anew()
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
        """Make a request; whether its failure `counts` against the breaker.

        An answer that is not understood was an answer: it counts only of what `probes` the venue,
        or one request that it stumbles over would take the rest down.

        Nothing is sent a second time but what the venue refused for its nonce, and so did not do.
        """
        async with self._turn:
            session, client = self._session, self._client
            if client is None:
                raise VenueDown("broker: closed")
            try:
                async with self._nonces.request_lock():
                    result = await self._with_nonce_retry(client, endpoint, request)
            except Exception as error:
                understood = probes or code_of(error) != "other"
                current = counts and understood and session is self._session
                raise self._judge(endpoint, error, current=current) from error
            if session is self._session:
                self.succeed()
            return result

    async def _with_nonce_retry(
        self, client: Adapter, endpoint: str, request: Request[Result]
    ) -> Result:
        await self._nonces.reserve()
        try:
            return await self._timed(client, endpoint, request)
        except Exception as error:
            if code_of(error) != "invalid_nonce":
                raise
            # Somebody used this key with higher nonces. Once: twice would mean that they still do.
            log.warning("nonce_refused", endpoint=endpoint)
            if not await self._nonces.jump_ahead():
                raise
            return await self._timed_after_a_jump(client, endpoint, request)

    async def _timed_after_a_jump(
        self, client: Adapter, endpoint: str, request: Request[Result]
    ) -> Result:
        try:
            return await self._timed(client, endpoint, request)
        except Exception as error:
            if code_of(error) == "invalid_nonce":
                self._nonces.record_repeated_rejection()
            raise

    async def _timed(self, client: Adapter, endpoint: str, request: Request[Result]) -> Result:
        if self._sealed:
            raise VenueDown("broker: nothing is sent any more")
        self._permit(endpoint)
        if self._allowance is not None:
            self._allowance.called(endpoint)
        began = clock.monotonic()
        code = "other"
        try:
            result = await request(client)
            code = "ok"
        except Exception as error:
            code = code_of(error)
            if code == "rate_limited" and self._allowance is not None:
                self._allowance.refused()
            raise
        else:
            return result
        finally:
            self.metrics.venue_request(endpoint, code=code, seconds=clock.monotonic() - began)

    def _judge(self, endpoint: str, error: Exception, *, current: bool) -> Exception:
        """Return what to raise for a failed request, and count it against the breaker."""
        if isinstance(error, NotLeader):
            return error  # the venue was not asked, and its connection is well
        code = code_of(error)
        detail = f"{endpoint}: {code}: {str(error)[:200]}"
        if code == "refused":
            if current:
                self.succeed()
            return VenueRefused(detail)
        log.warning("request_failed", endpoint=endpoint, code=code, error=str(error)[:200])
        # The end of a session that was replaced says nothing about the new one.
        if current:
            self.fail(detail)
            if not self.breaker.closed:
                self.mark(up=False, detail=detail)
        return VenueDown(detail)
