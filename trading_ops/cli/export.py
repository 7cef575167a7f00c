"""`trading-ops export`: serve the exporter's metrics, read them once, or check its file."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trading_ops.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from trading_ops.exporter.config import ExporterConfig
    from trading_ops.exporter.run import Read

DEFAULT = Path("exporter.yml")


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file. Default: exporter.yml in the working directory.",
)
@click.option(
    "--targets",
    type=click.Path(path_type=Path),
    help="Derive the configuration from this targets.yml, as `trading-ops up` does.",
)
@click.option("--check", is_flag=True, help="Check the configuration and exit.")
@click.option("--once", is_flag=True, help="Collect once, print the metrics and exit.")
@click.argument("collectors", nargs=-1)
def export(
    *,
    config: Path | None,
    targets: Path | None,
    check: bool,
    once: bool,
    collectors: tuple[str, ...],
) -> None:
    """Run the exporter: metrics of the host, processes, venues, databases and Freqtrade bots.

    Runs in the foreground until SIGTERM or Ctrl-C. With --once it runs the COLLECTORS, or all,
    prints the metrics to standard output and the result of each collector to standard error, and
    exits with 1 if one of them failed. See docs/exporter.md.
    """
    if config is not None and targets is not None:
        raise click.UsageError("--config and --targets are mutually exclusive")
    if check and once:
        raise click.UsageError("--check and --once are mutually exclusive")
    if collectors and not once:
        raise click.UsageError("collector names need --once")
    where = str(targets or config or DEFAULT)
    wanted = _derived(targets) if targets is not None else _loaded(config or DEFAULT)
    if check:
        _check(wanted, where)
    elif once:
        _once(wanted, collectors)
    else:
        _serve(wanted)


def _loaded(path: Path) -> "ExporterConfig":
    from trading_ops.exporter.config import load_config  # noqa: PLC0415

    return load_config(path)


def _derived(targets: Path) -> "ExporterConfig":
    import msgspec  # noqa: PLC0415

    from trading_ops.cli.exporter_config import exporter_config  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.domain.target import Kind  # noqa: PLC0415
    from trading_ops.errors import ConfigError  # noqa: PLC0415
    from trading_ops.exporter.config import made_config  # noqa: PLC0415

    settings = msgspec.structs.replace(load_settings(), targets_file=targets.absolute())
    registry = load_targets(settings.targets_file)
    exporters = registry.of_kind(Kind.EXPORTER)
    if not exporters:
        raise ConfigError(str(targets), "targets", "no target of kind exporter", "add one")
    raw = exporter_config(settings, registry, exporters[0])
    return made_config(raw, where=str(targets), folder=settings.root)


def _check(config: "ExporterConfig", where: str) -> None:
    from trading_ops.exporter.check import problems  # noqa: PLC0415

    found = list(problems(config, where))
    for problem in found:
        click.echo(f"Error: {problem}", err=True)
    if found:
        click.get_current_context().exit(ExitCode.SETUP)
    click.echo(f"{where} is valid: served on {config.address}")


def _once(config: "ExporterConfig", collectors: tuple[str, ...]) -> None:
    from trading_ops import logs  # noqa: PLC0415
    from trading_ops.exporter.run import read_once  # noqa: PLC0415

    logs.configure("exporter", level="ERROR")  # the result of each one is printed below
    read: Read = asyncio.run(read_once(config, collectors))
    click.echo(read.text, nl=False)
    for collector in read.collectors:
        result = "ok" if collector.up else f"failed: {collector.problem}"
        click.echo(f"{collector.source.name} ({collector.duration:.3f} s): {result}", err=True)
    if not read.succeeded:
        click.get_current_context().exit(ExitCode.FAILED)


def _serve(config: "ExporterConfig") -> None:
    from trading_ops import logs  # noqa: PLC0415
    from trading_ops.config.loading import load_log_policy  # noqa: PLC0415
    from trading_ops.exporter.run import serve  # noqa: PLC0415

    logs.configure("exporter", policy=load_log_policy())
    asyncio.run(serve(config))
