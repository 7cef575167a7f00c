"""`trading-ops node`: restart and stop the services of this host for the reconciler."""

import asyncio
from pathlib import Path

import click


@click.command()
@click.option("--name", default="", help="Name of this node's entry in targets.yml.")
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    help="The registry. Default: targets.yml of the project folder.",
)
@click.option(
    "--polkit",
    metavar="USER",
    help="Print the polkit rule that lets USER manage this node's systemd units, and exit.",
)
def node(*, name: str, targets: Path | None, polkit: str | None) -> None:
    """Restart and stop the services of this host for the reconciler.

    Manages only the services that targets.yml assigns to this node, through systemd, Docker or
    fixed commands. Runs in the foreground until SIGTERM or Ctrl-C. See docs/service-managers.md.
    """
    import msgspec  # noqa: PLC0415

    from trading_ops import logs  # noqa: PLC0415
    from trading_ops.config.settings import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.domain.target import Manager  # noqa: PLC0415
    from trading_ops.node.run import own_entry, serve  # noqa: PLC0415
    from trading_ops.node.server import services_of  # noqa: PLC0415

    settings = load_settings()
    if targets is not None:
        settings = msgspec.structs.replace(settings, targets_file=targets.absolute())
    registry = load_targets(settings.targets_file)
    if polkit is not None:
        from trading_ops.services.systemd import polkit_rule  # noqa: PLC0415

        services = [one.service for one in services_of(registry, own_entry(registry, name).name)]
        units = [one.unit for one in services if one and one.manager is Manager.SYSTEMD]
        click.echo(polkit_rule(polkit, units), nl=False)
        return
    logs.configure("node", policy=settings.log_policy)
    asyncio.run(serve(settings, registry, name))
