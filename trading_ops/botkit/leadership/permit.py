"""The last check before an order is sent: may this instance submit now?

It runs twice: before a request is made, and again when its connection is ready and the first byte
is about to be written, because the process can be frozen in between. What no check on this side can
prevent the venue does: it refuses the nonces of an instance that was replaced.
"""

from collections.abc import Callable
from types import SimpleNamespace

import aiohttp

from trading_ops.botkit.component import Unavailable

SUBMITTING = frozenset({"AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"})
"""Endpoints that can add risk. Cancels and queries always pass."""

Permit = Callable[[str], None]
"""Raises NotLeader if a request to this endpoint must not be sent now."""


class NotLeader(Unavailable):
    """This instance may not submit now; nothing was sent."""


def allow_all(_endpoint: str) -> None:
    """Permit every request: the permit of a bot without standby instances."""


def permit_while(may_submit: Callable[[], bool]) -> Permit:
    """Return a permit for submitting requests while `may_submit` returns true."""

    def permit(endpoint: str) -> None:
        if endpoint in SUBMITTING and not may_submit():
            raise NotLeader(f"{endpoint}: not sent: this instance does not lead")

    return permit


def before_sending(permit: Permit) -> aiohttp.TraceConfig:
    """Return a trace configuration that runs the permit when a connection is ready to send."""
    trace = aiohttp.TraceConfig()

    async def begin(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestStartParams,
    ) -> None:
        context.endpoint = params.url.path.rpartition("/")[2]

    async def ready(
        _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
    ) -> None:
        permit(context.endpoint)

    trace.on_request_start.append(begin)
    trace.on_connection_create_end.append(ready)
    trace.on_connection_reuseconn.append(ready)
    return trace
