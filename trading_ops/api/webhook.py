"""Alertmanager's webhook: stores and commits the raw body, then answers 200.

Alertmanager retries only on 5xx, so every failure of ours is 503. It drops a notification on 4xx,
so after authentication the only 4xx is for a body over the size limit.
"""

from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.requests import read_body
from trading_ops.errors import StoreError
from trading_ops.reconciler.intake import Intake

log = logs.get(__name__)

BODY_LIMIT_BYTES = 32 * 1024 * 1024


class Webhook:
    """Handler of the webhook."""

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
