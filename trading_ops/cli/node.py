"""`trading-ops node`: restart and stop the services of this host for the reconciler."""

import asyncio
import re
from pathlib import Path

import click

ACCOUNT = re.compile(r"[a-z0-9-]{1,63}:[a-z0-9.-]{1,253}")


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
@click.option(
    "--rbac",
    metavar="NAMESPACE:ACCOUNT",
    help="Print the Roles that let this service account manage this node's workloads, and exit.",
)
@click.option(
    "--backups",
    is_flag=True,
    help="Back up `backup_folders` of settings.yml: for a host without a reconciler.",
)
def node(
    *, name: str, targets: Path | None, polkit: str | None, rbac: str | None, backups: bool
) -> None:
    """Restart and stop the services of this host for the reconciler.

    Manages only the services that targets.yml assigns to this node, through systemd, Docker,
    Kubernetes or fixed commands. Runs in the foreground until SIGTERM or Ctrl-C. See
    docs/service-managers.md.
    """
    import msgspec  # noqa: PLC0415

    from trading_ops import logs  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.domain.target import Manager  # noqa: PLC0415
    from trading_ops.node.run import own_entry, serve  # noqa: PLC0415
    from trading_ops.node.server import services_of  # noqa: PLC0415

    settings = load_settings()
    if targets is not None:
        settings = msgspec.structs.replace(settings, targets_file=targets.absolute())
    registry = load_targets(settings.targets_file)

    def units(manager: Manager) -> list[str]:
        services = [
            target.service for target in services_of(registry, own_entry(registry, name).name)
        ]
        return [service.unit for service in services if service and service.manager is manager]

    if polkit is not None:
        from trading_ops.services.systemd import polkit_rule  # noqa: PLC0415

        click.echo(polkit_rule(polkit, units(Manager.SYSTEMD)), nl=False)
        return
    if rbac is not None:
        from trading_ops.services.kubernetes import role  # noqa: PLC0415

        if not ACCOUNT.fullmatch(rbac):
            raise click.UsageError(f"{rbac!r} is not NAMESPACE:ACCOUNT")
        click.echo(role(rbac, units(Manager.KUBERNETES)), nl=False)
        return
    logs.configure("node", policy=settings.log_policy)
    asyncio.run(serve(settings, registry, name, backups=backups))
