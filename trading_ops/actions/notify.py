"""Tell people something about a target, by the way that every page takes.

The reconciler shows the words in a metric for a minute; a committed rule makes an alert of it, and
Alertmanager tells people at once. So a notice can be silenced and routed like everything else, and
no second way to people has to be kept alive.
"""

import re
from typing import ClassVar

from trading_ops.actions.base import Call, Notices, Probe
from trading_ops.domain.attempt import Delivery
from trading_ops.domain.target import NAMED_BOTS, Kind
from trading_ops.errors import ActionError

LONGEST = 120
"""Characters: it becomes a label, and what a phone shows of a message."""

PLAIN = re.compile(r"[\w .,:;!?()%/+='-]+")


class Notify:
    """Says one sentence; said again within its minute it is the same notice."""

    name: ClassVar[str] = "notify"
    delivery: ClassVar[Delivery] = Delivery.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset({"message"})
    kinds: ClassVar[frozenset[Kind]] = NAMED_BOTS | {Kind.VENUE}
    two_persons: ClassVar[bool] = False
    by_hand_only: ClassVar[bool] = False

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    async def precondition(self, call: Call) -> str | None:
        """Nothing speaks against a word."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Show it.

        Raises:
            ActionError: it is no plain sentence, or too many are shown already.
        """
        message = " ".join(call.params["message"].split())
        if not PLAIN.fullmatch(message) or len(message) > LONGEST:
            raise ActionError(
                f"message must be one sentence of at most {LONGEST} letters, digits and marks"
            )
        if not self._notices.show(call.target, message):
            raise ActionError("too many notices are shown: wait a minute")
        return f"people are told: {message}"

    async def probe(self, call: Call) -> Probe:
        """What is shown ends with the process that shows it, so it may be said again."""
        del call
        return Probe.NOT_DONE
