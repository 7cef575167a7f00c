"""`trading-ops completion`: print the shell completion script."""

import click

from trading_ops.errors import SetupError

VARIABLE = "_TRADING_OPS_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: trading-ops completion bash >> ~/.bashrc
    zsh:  trading-ops completion zsh  >> ~/.zshrc
    fish: trading-ops completion fish >  ~/.config/fish/completions/trading-ops.fish
    """  # noqa: D301 - \b is click's mark for “do not rewrap”
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from trading_ops.cli.main import PROGRAM, cli  # noqa: PLC0415

    kind = get_completion_class(shell)
    if kind is None:
        raise SetupError(f"unsupported shell {shell!r}: use bash, zsh or fish")
    click.echo(kind(cli, {}, PROGRAM, VARIABLE).source())
