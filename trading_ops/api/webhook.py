"""POST from Alertmanager: stored and committed, then 200. Never acts, never parses first.

Alertmanager retries only 5xx: everything that is our trouble is 503. It loses a notification on
any 4xx, so there is none after authentication but for a body beyond the limit.
"""

from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.request_parsing import read_body
from trading_ops.errors import StoreError
from trading_ops.reconciler.intake import Intake

log = logs.get(__name__)

BODY_LIMIT_BYTES = 32 * 1024 * 1024


class Webhook:
    """The intake's HTTP side."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def post(self, request: web.Request) -> web.Response:
        """Store one notification."""
        received_at = clock.now()
        try:
            body = await read_body(request)
        except web.HTTPRequestTimeout as error:
            raise web.HTTPServiceUnavailable(text=str(error.text)) from error
        try:
            await self._intake.store(body, received_at)
        except StoreError as error:
            log.warning("notification_refused", error=str(error))
            self._intake.metrics.notifications.labels("refused").inc()
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(text="stored\n")
