"""The tokens that may command the agent, reloaded when their file changes."""

import asyncio
import logging

from trading_ops.agent.disk import DiskThread
from trading_ops.config.secret_files import TokenFile
from trading_ops.errors import SetupError
from trading_ops.redaction import known

REREAD_SECONDS = 1.0

_logger = logging.getLogger(__name__)


class AgentTokens:
    """The accepted tokens. The last ones stay valid while the file cannot be read.

    A removed token stays valid until the next reload, for requests in flight.
    """

    def __init__(self, given: str | TokenFile) -> None:
        """Set up with one token or a token file.

        Raises:
            SetupError: the file cannot be read, or is empty.
        """
        self._file = None if isinstance(given, str) else given
        self._failing = False
        self._last = (given,) if isinstance(given, str) else _read(given)
        self.accepted = self._last

    async def follow(self, disk: DiskThread) -> None:
        """Reload the file each second until cancelled; a disk that hangs blocks only this."""
        while self._file is not None:
            await asyncio.sleep(REREAD_SECONDS)
            try:
                self.use(await disk.run(self._file.read))
            except (OSError, ValueError) as error:
                if not self._failing:
                    _logger.error("token_not_read error=%s", error)  # noqa: TRY400 - the message is complete
                self._failing = True
            else:
                self._failing = False

    def use(self, read: tuple[str, ...]) -> None:
        """Accept the tokens just read, and those of the previous read."""
        self.accepted = (*map(known, read), *self._last)
        self._last = read


def _read(file: TokenFile) -> tuple[str, ...]:
    fix = "Fix: `trading-ops up` writes it for each bot in targets.yml, or write a token into it"
    try:
        tokens = file.read()
    except (OSError, ValueError) as error:
        detail = getattr(error, "strerror", None) or "not a text file"
        raise SetupError(f"{file.path} cannot be read ({detail}). {fix}") from error
    if not tokens:
        raise SetupError(f"{file.path} is empty. {fix}")
    return tuple(map(known, tokens))
