"""Page on-call about a target through Alertmanager.

The reconciler exposes the message in a metric for a minute; a committed rule turns it into an
alert, and Alertmanager notifies on-call immediately. So it can be silenced and routed like any
other alert, without a second notification path.
"""

import re
from typing import ClassVar

from trading_ops.actions.base import Call, Notifier, Probe
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.target import NAMED_BOTS, Kind
from trading_ops.errors import ActionError

LONGEST = 120
"""Maximum characters: it becomes a label, and must fit a phone's notification."""

PLAIN = re.compile(r"[\w .,:;!?()%/+='-]+")


class PageOncall:
    """Publishes one sentence; a repeat within a minute is the same notice."""

    name: ClassVar[str] = "page_oncall"
    delivery: ClassVar[DeliverySemantics] = DeliverySemantics.IDEMPOTENT
    params: ClassVar[frozenset[str]] = frozenset({"message"})
    kinds: ClassVar[frozenset[Kind]] = NAMED_BOTS | {Kind.VENUE}
    two_person_approval: ClassVar[bool] = False
    manual_only: ClassVar[bool] = False

    def __init__(self, notices: Notifier) -> None:
        self._notices = notices

    async def precondition(self, call: Call) -> str | None:
        """No precondition."""
        del call
        return None

    async def perform(self, call: Call) -> str:
        """Publish the message.

        Raises:
            ActionError: the message is invalid, or too many notices are active.
        """
        message = " ".join(call.params["message"].split())
        if not PLAIN.fullmatch(message) or len(message) > LONGEST:
            raise ActionError(
                f"`message` must be one sentence of at most {LONGEST} letters, digits and marks"
            )
        if not self._notices.show(call.target, message):
            raise ActionError("too many active notices: retry in a minute")
        return f"on-call is notified: {message}"

    async def probe(self, call: Call) -> Probe:
        """Report it as never arrived: a notice ends with its process, so it may be repeated."""
        del call
        return Probe.NOT_DONE
