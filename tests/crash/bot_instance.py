"""`python -m tests.crash.bot_instance --config FILE --tag 00a1`: one instance of the bot, as it is.

The tag goes into the client id of each of its orders, where the bot itself puts chance: so the
venue's journal tells which process placed an order, whatever that process believed of itself. It
can freeze itself at a named place, so that nothing runs after the place. And it can be broken on
purpose.
"""

import argparse
import os
import signal
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trading_ops.botkit import failpoints
from trading_ops.botkit.failpoints import BotFailpoint
from trading_ops.botkit.leadership.component import Leadership
from trading_ops.botkit.leadership.lease import Lease
from trading_ops.botkit.nonces.issuer import Nonces
from trading_ops.botkit.orders import order
from trading_ops_lab.paper.bot import __main__ as bot


def tag_orders(tag: str) -> None:
    """Have the second group of each client id say whose it is."""

    def tagged() -> uuid.UUID:
        text = str(uuid.uuid4())
        return uuid.UUID(f"{text[:8]}-{tag}-{text[14:]}")

    setattr(order, "uuid", SimpleNamespace(uuid4=tagged))  # noqa: B010 - a name of the product


class Freezer:
    """Stops its own process at a place, the first time after a file appeared."""

    def __init__(self, place: BotFailpoint, when: Path) -> None:
        self._place, self._when = place, when

    def __call__(self, place: BotFailpoint) -> None:
        if place is self._place and self._when.exists():
            self._when.unlink()
            os.kill(os.getpid(), signal.SIGSTOP)


def ignore_the_lease() -> None:
    """Once it leads it never stops leading, whatever the lease says."""

    async def renew(self: Lease) -> None:
        """All is well."""

    def put(kind: type, name: str, value: Any) -> None:
        assert hasattr(kind, name)
        setattr(kind, name, value)

    put(Lease, "renew", renew)
    put(Lease, "valid", property(lambda self: self.token is not None))
    put(Lease, "fence", lambda self, session: None)
    put(Leadership, "may_submit", property(lambda self: self.leading))
    jump_ahead = Nonces.jump_ahead

    async def resync(self: Nonces) -> bool:
        self._may_resync = lambda: True
        return await jump_ahead(self)

    put(Nonces, "jump_ahead", resync)


PLANTS = {"ignore-the-lease": ignore_the_lease}


def main() -> int:
    """Be the instance; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--freeze", type=BotFailpoint)
    parser.add_argument("--freeze-when", type=Path)
    parser.add_argument("--plant", choices=PLANTS)
    given = parser.parse_args()
    tag_orders(given.tag)
    if given.freeze:
        failpoints.watch(Freezer(given.freeze, given.freeze_when))
    if given.plant:
        PLANTS[given.plant]()
    return bot.main(["--config", given.config])


if __name__ == "__main__":
    sys.exit(main())
