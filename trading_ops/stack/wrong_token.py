"""A reconciler that was started with another token than the bot's: it cannot reach what lives."""

import asyncio
import contextlib
import secrets
import uuid
from datetime import timedelta
from pathlib import Path

from trading_ops import clock
from trading_ops.domain.target import Kind, Target
from trading_ops.errors import ClientError, StackError
from trading_ops.stack.fault import Fault
from trading_ops.stack.scene import Scene

WITHIN = timedelta(seconds=30)
TICK_SECONDS = 0.1


class WrongToken(Fault):
    """As after a change of the token on one of the two sides; the file is right again at once."""

    describe = "the reconciler is restarted with another token than the bot's agent has"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Restart it while its file is wrong, which it reads at its start."""
        del bot
        path = scene.settings.secrets / "agent_token"
        right = path.read_text(encoding="ascii")
        _write(path, secrets.token_hex(len(right) // 2))
        try:
            await _restart(scene)
        finally:
            _write(path, right)
        return path.name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Restart it, as a person does who has found the token."""
        del bot, key
        await _restart(scene)


async def _restart(scene: Scene) -> None:
    """Restart the reconciler, and return once it answers.

    Raises:
        StackError: it does not.
    """
    unit = scene.directory.unit(scene.registry.one(Kind.RECONCILER))
    process = await unit.process()
    await unit.restart(
        incarnation=process.incarnation,
        attempt_id=str(uuid.uuid4()),
        fence=None,
        within=WITHIN,
    )
    deadline = clock.monotonic() + WITHIN.total_seconds()
    while clock.monotonic() < deadline:
        with contextlib.suppress(ClientError):
            await scene.reconciler.status()
            return
        await asyncio.sleep(TICK_SECONDS)
    raise StackError("the reconciler does not answer after its restart")


def _write(path: Path, text: str) -> None:
    """Put a whole file in the place of another: nobody reads half a token."""
    scratch = path.with_name(f".{path.name}.drill")
    scratch.touch(mode=0o600)
    scratch.write_text(text, encoding="ascii")
    scratch.replace(path)
