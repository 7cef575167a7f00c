"""A channel whose server refuses every connection."""

import asyncio
import contextlib
import re
from pathlib import Path

from trading_ops import durable
from trading_ops.domain.message import MessageKind, MessageState
from trading_ops.domain.target import Target
from trading_ops.errors import NotPossibleHere, Refused
from trading_ops.notify.channels import FILE
from trading_ops.notify.config import load_notify
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.preflight import OWNER
from trading_ops_lab.faults.base import Fault

NOWHERE = "json://127.0.0.1:9"
DELIVERED_SECONDS = 60.0


class UndeliveredMessages(Fault):
    """A test message waits in the outbox until the channel's URL is correct again."""

    describe = "the server of a channel refuses every connection"

    async def ready(self, scene: Scene, bot: Target) -> None:
        """Look for a channel.

        Raises:
            NotPossibleHere: messages are off, or no route accepts the kind `test`.
        """
        del bot
        await _channel(scene)

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Replace the channel's URL, and send a test message."""
        del bot
        name, path = await _channel(scene), scene.settings.secrets / FILE
        right = await asyncio.to_thread(path.read_text, encoding="utf-8")
        wrong = re.sub(rf"(?m)^{name}\b.*$", f"{name} {NOWHERE}", right)
        await asyncio.to_thread(durable.write, _kept(path), right.encode())
        await asyncio.to_thread(durable.write, path, wrong.encode())
        await scene.reconciler.test_message(channel=name, owner=OWNER)
        return name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Restore the URL, and retry what is undelivered, like an operator.

        Raises:
            TimeoutError: it is still not delivered.
        """
        del bot
        path = scene.settings.secrets / FILE
        await asyncio.to_thread(_kept(path).replace, path)
        for message in await _failed(scene, key):
            with contextlib.suppress(Refused):  # delivered with another one's mail
                await scene.reconciler.change_message(message, "retry", owner=OWNER)
        async with asyncio.timeout(DELIVERED_SECONDS):
            while await _failed(scene, key):  # noqa: ASYNC110 - another process delivers
                await asyncio.sleep(1)


async def _channel(scene: Scene) -> str:
    config = await asyncio.to_thread(load_notify, scene.settings.notify_config)
    accepting = (
        [route for route in config.routes if route.accepts(MessageKind.TEST)] if config else []
    )
    if not accepting:
        raise NotPossibleHere(
            f"no route of {scene.settings.notify_config} accepts the kind `test`: see "
            "docs/messages.md"
        )
    return accepting[0].to[0]


async def _failed(scene: Scene, channel: str) -> list[str]:
    """Return the messages that were tried without success, not only the test message."""
    found = [
        message
        for state in (MessageState.WAITING, MessageState.SENDING, MessageState.DEAD)
        for message in await scene.reconciler.messages(state=state.value)
    ]
    return [message.id for message in found if message.channel == channel and message.attempts]


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.drill")
