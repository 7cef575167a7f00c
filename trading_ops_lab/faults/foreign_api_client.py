"""Another client on the bot's API key, whose nonces are far above the bot's.

The venue then rejects every request of the bot. The bot skips a minute's worth of nonces at each
rejection, so an hour's worth lasts longer than any drill; one resync skips all of it.
"""

from pathlib import Path
from urllib.parse import urlencode

from trading_ops import clock
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault
from trading_ops_lab.paper.venue.signing import decode_secret, sign
from trading_ops_lab.supervisor.configs import bot_keys
from trading_ops_lab.supervisor.tokens import venue_key_names

AHEAD = 59 * 60 * 1_000_000
"""Microseconds by which the other client's nonce exceeds the bot's: just within one resync."""

LOOK_BACK_SECONDS = 60.0
"""Time for the bot to renew its dead man's switch, which the journal records with the nonce."""

PATH = "/0/private/Balance"


class ForeignApiClient(Fault):
    """One signed request with the bot's own key; the evidence is the venue's journal."""

    describe = "another client uses the bot's API key with nonces an hour ahead"

    def __init__(self) -> None:
        self._above = 0

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Send the request.

        Raises:
            StackError: the bot's last nonce is unknown, or the venue rejected the other client.
        """
        last = await self._last(scene, bot, since=_ago(LOOK_BACK_SECONDS))
        if not last:
            raise StackError(f"the venue's journal has no recent request of {bot.name}")
        self._above = last + AHEAD
        await _ask(scene, bot, nonce=str(self._above))
        return ""

    async def evidence(self, scene: Scene, bot: Target, since: float) -> str | None:
        """Look for a request of the bot that the venue accepted above the other client's nonce."""
        accepted = await self._last(scene, bot, since=since) > self._above
        return (
            "the venue's journal has the bot above the other client's nonce" if accepted else None
        )

    async def _last(self, scene: Scene, bot: Target, *, since: float) -> int:
        journal = await scene.faults(bot).journal(since=since)
        return max((event.nonce for event in journal if event.account == bot.name), default=0)


async def _ask(scene: Scene, bot: Target, *, nonce: str) -> None:
    key, secret = (_read(scene.settings.secrets / name) for name in _names(scene, bot))
    body = urlencode({"nonce": nonce}).encode()
    headers = {
        "API-Key": key,
        "API-Sign": sign(decode_secret(secret), PATH, nonce, body),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    venue = scene.registry.find(bot.venue or "")
    if venue is None:
        raise StackError(f"{bot.name} has no venue")
    url = f"http://{venue.address}{PATH}"
    async with scene.session.post(url, data=body, headers=headers) as response:
        answer = await response.json()
    if answer.get("error"):
        raise StackError(f"the venue refused the other client: {answer['error']}")


def _names(scene: Scene, bot: Target) -> tuple[str, str]:
    return venue_key_names(bot_keys(scene.registry)[bot.name])


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _ago(seconds: float) -> float:
    return clock.timestamp() - seconds
