"""The last look before an order leaves: may this instance submit, now?

It is asked twice: before a request is made, and again when its connection is ready and its first
byte is about to be written, since a freeze can lie in between. What no look can close is closed at
the venue, which refuses the nonces of whoever was replaced.
"""

from collections.abc import Callable
from types import SimpleNamespace

import aiohttp

from trading_ops.botkit.component import Unavailable

SUBMITTING = frozenset({"AddOrder", "AddOrderBatch", "AmendOrder", "EditOrder"})
"""Requests that can add to what is at risk. Cancels and questions always pass."""

Permit = Callable[[str], None]
"""Raises NotLeader when a request to this endpoint must not be sent now."""


class NotLeader(Unavailable):
    """This instance may not submit now; nothing was sent."""


def always(_endpoint: str) -> None:
    """Let every request pass: there is no other instance."""


def permit_while(may_submit: Callable[[], bool]) -> Permit:
    """Let submitting requests pass only while something holds."""

    def permit(endpoint: str) -> None:
        if endpoint in SUBMITTING and not may_submit():
            raise NotLeader(f"{endpoint}: not sent: this instance does not lead")

    return permit


def on_the_wire(permit: Permit) -> aiohttp.TraceConfig:
    """Return what has aiohttp ask again when a request's connection is ready."""
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
