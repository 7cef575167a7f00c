"""Alertmanager's webhooks: they store and commit, then answer 200.

Alertmanager retries only on 5xx, so every failure of ours is 503. It drops a notification on 4xx,
so after authentication the only 4xx of the reconciler's webhook is for a body over the size limit.
"""

from aiohttp import web

from trading_ops import clock, logs
from trading_ops.api.requests import read_body
from trading_ops.errors import ConfigError, RequestRefused, StoreError
from trading_ops.notify.alerts import alerts_message
from trading_ops.notify.outbox import Outbox
from trading_ops.reconciler.intake import Intake, InvalidNotification

log = logs.get(__name__)

BODY_LIMIT_BYTES = 32 * 1024 * 1024


class Webhook:
    """Handler of the webhook."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def post(self, request: web.Request) -> web.Response:
        """Store one notification."""
        received_at = clock.now()
        body = await _body(request)
        try:
            await self._intake.store(body, received_at)
        except StoreError as error:
            log.warning("notification_refused", error=str(error))
            self._intake.metrics.notifications.labels("refused").inc()
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(text="stored\n")


class MessageWebhook:
    """Handler of the receiver bridge: notifications become messages of the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def post(self, request: web.Request) -> web.Response:
        """Send one notification of Alertmanager as a message, by the routes of notify.yml."""
        try:
            message = alerts_message(await _body(request), now=clock.now())
        except InvalidNotification as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        try:
            await self._outbox.enqueue(message)
        except (RequestRefused, ConfigError, StoreError) as error:
            # 503, so that Alertmanager tries again and TradingOpsNotificationsFailing fires.
            raise web.HTTPServiceUnavailable(text=str(error)) from error
        return web.Response(text="stored\n")


async def _body(request: web.Request) -> bytes:
    try:
        return await read_body(request)
    except web.HTTPRequestTimeout as error:
        raise web.HTTPServiceUnavailable(text=str(error.text)) from error
