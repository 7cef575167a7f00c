"""The file of a bot's agent token is empty: the reconciler cannot reach a running bot."""

from trading_ops.clients.secrets import agent_token_file, rotate_token
from trading_ops.config.secret_files import write_secret
from trading_ops.domain.target import Target
from trading_ops.errors import StackError
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.faults.base import Fault


class EmptyToken(Fault):
    """As after a write on a full disk; the next rotation fixes it."""

    describe = "the file with the token of the bot's agent is empty"

    async def inject(self, scene: Scene, bot: Target) -> str:
        """Empty it: now the reconciler has no token, and the agent accepts none."""
        path = agent_token_file(scene.settings, bot).path
        write_secret(path, "")
        return path.name

    async def clean_up(self, scene: Scene, bot: Target, key: str) -> None:
        """Rotate the bot's token, like an operator.

        Raises:
            StackError: its agent does not accept it.
        """
        del key
        if not await rotate_token(scene.settings, bot):
            raise StackError(f"{bot.name} does not accept its new token")
