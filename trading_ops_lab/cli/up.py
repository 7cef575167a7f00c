"""`trading-ops up`: the whole stack in the foreground, or detached."""

from typing import TYPE_CHECKING

import click

from trading_ops.cli.console import output_option, print_json

if TYPE_CHECKING:
    from trading_ops.config.settings import Settings


@click.command()
@click.option(
    "--detach",
    "-d",
    is_flag=True,
    help="Return when everything is ready; `trading-ops down` stops it.",
)
@output_option
def up(*, detach: bool, output: str) -> None:
    """Start the whole stack on this machine, and keep it running.

    Starts a paper venue, a trading bot, the exporter, the reconciler, a mail sink for on-call,
    Alertmanager and Prometheus, each when the previous one is ready, and shows their state. Ctrl-C
    stops all of them; a second Ctrl-C kills the remaining ones.

    Addresses are in targets.yml. Data, secrets and logs are in var/. In an empty folder it first
    writes targets.yml, rules, routes, runbooks and boards.
    """
    if output == "json" and not detach:
        raise click.UsageError("--output json needs --detach")
    # Imported here: `trading-ops --help` needs none of it.
    from trading_ops.config.loading import load_settings  # noqa: PLC0415

    settings = load_settings()
    if written := fill_empty(settings):
        click.echo(f"{written} files written to {settings.root}", err=True)
    if output == "json":
        from trading_ops_lab.supervisor.detach import detach as start_detached  # noqa: PLC0415

        print_json(start_detached(settings, lambda _overview: None))
    elif detach:
        _up_detached(settings)
    else:
        _up_here(settings)


def fill_empty(settings: "Settings") -> int:
    """Write the local stack's project into an empty folder; return the number of files.

    A folder that holds anything else is left alone: it may be the wrong one.

    Raises:
        SetupError: the folder cannot be written.
    """
    from importlib.resources import files  # noqa: PLC0415

    from trading_ops.project.folder import create  # noqa: PLC0415
    from trading_ops.project.shipped import shipped  # noqa: PLC0415

    root = settings.root
    if settings.targets_file.exists() or not root.is_dir():
        return 0
    project = shipped(files("trading_ops_lab.project") / "targets.yml")
    # Keep what an interrupted attempt has written, and continue.
    ours = {settings.var, *(root / path.parts[0] for path in project)}
    if not ours.issuperset(root.iterdir()):
        return 0
    create(root, project)
    return len(project)


def _up_detached(settings: "Settings") -> None:
    from trading_ops_lab.cli.live_status import LiveStatus  # noqa: PLC0415
    from trading_ops_lab.supervisor.detach import detach  # noqa: PLC0415

    with LiveStatus(page=_page(settings)) as status:
        status.ready(detach(settings, status.show))


def _up_here(settings: "Settings") -> None:
    from trading_ops_lab.cli.live_status import LiveStatus  # noqa: PLC0415
    from trading_ops_lab.supervisor.control import overview  # noqa: PLC0415
    from trading_ops_lab.supervisor.run import run  # noqa: PLC0415

    with LiveStatus(page=_page(settings)) as status:
        run(
            settings,
            on_change=lambda supervisor: status.show(overview(supervisor)),
            on_ready=lambda supervisor: status.ready(overview(supervisor)),
        )
    click.echo("All processes stopped.")


def _page(settings: "Settings") -> str:
    """Return the address of the console, and where the token for it is."""
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.domain.target import Kind  # noqa: PLC0415

    address = load_targets(settings.targets_file).one(Kind.RECONCILER).address
    return f"http://{address}/console (token: {settings.secrets / 'operator_token'})"
