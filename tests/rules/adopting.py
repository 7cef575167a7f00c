"""Another team's Prometheus and Alertmanager, and a reader who follows docs/adopt.md with them.

Whatever is added comes out of the page itself. A block whose first line names a file is merged over
that file of the team: mappings are joined, lists are continued, and routes are put first.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rules.configuration import ROOT, ROUTES, read_yaml
from tests.rules.documented import blocks
from trading_ops.config.settings import Settings
from trading_ops.config.targets import parse_targets
from trading_ops_lab.supervisor.layout import lay_out

PAGE = ROOT / "docs" / "adopt.md"
WEBHOOK = "127.0.0.1:8431"
"""Where the page's receiver sends to."""

BOT, EXPORTER = "127.0.0.1:8411", "127.0.0.1:8421"
"""Where the page's bot and exporter listen."""

TEAM_RULES = """
groups:
  - name: checkout
    interval: 1s
    rules:
      - alert: CheckoutSlow
        expr: vector(1)
        for: 10s # not before Alertmanager is discovered
        labels: {severity: critical}
      # With a label of the same name as our page label, and a bot of the same name.
      - alert: CheckoutDown
        expr: vector(1)
        for: 10s
        labels: {severity: critical, page_after: 5m, bot: alpha, venue: kraken}
      # Its receiver is away.
      - alert: CheckoutUndelivered
        expr: vector(1)
        for: 10s
        labels: {severity: critical, receiver: broken}
  - name: checkout-broken
    interval: 1s
    rules:
      - record: checkout:matched_twice # always fails
        expr: |
          (vector(1) or label_replace(vector(1), "a", "b", "", ""))
          + on () (vector(1) or label_replace(vector(1), "a", "b", "", ""))
"""
TEAM_PROMETHEUS = """
global:
  scrape_interval: 5s
  evaluation_interval: 5s
  external_labels: {cluster: prod}
rule_files: [team/*.yml]
alerting:
  alertmanagers:
    - static_configs: [{targets: ["ALERTMANAGER"]}]
scrape_configs:
  - job_name: alertmanager
    static_configs: [{targets: ["ALERTMANAGER"]}]
  - job_name: prometheus
    file_sd_configs: [{files: [team/prometheus.json]}]
"""
TEAM_ALERTMANAGER = """
route:
  receiver: team-pager
  group_by: [alertname]
  group_wait: 1s
  routes:
    - receiver: team-tickets
      matchers: ['severity="warning"']
    - receiver: team-broken
      matchers: ['receiver="broken"']
      group_interval: 10s  # a notification is retried for as long before it counts as failed
receivers:
  - name: team-pager
    webhook_configs: [{url: "http://TEAM/pager"}]
  - name: team-tickets
    webhook_configs: [{url: "http://TEAM/tickets"}]
  - name: team-broken
    webhook_configs: [{url: "http://127.0.0.1:1/broken"}]
"""


@dataclass(frozen=True)
class Adopted:
    """The team's folders after the page was followed."""

    prometheus: Path
    """Its prometheus.yml."""

    alertmanager: Path
    """Its alertmanager.yml."""

    var: Path


def snippet(file: str) -> str:
    """Return the block of the page that is for a file."""
    (found,) = (text for text in blocks(PAGE, "yaml") if text.startswith(f"# {file}\n"))
    return found


def laid_over(theirs: Any, added: Any, key: str = "") -> Any:
    """Add what the page says to what the team has, as the page says it."""
    if isinstance(theirs, dict) and isinstance(added, dict):
        joined = {name: laid_over(theirs.get(name), value, name) for name, value in added.items()}
        return theirs | joined
    if isinstance(theirs, list) and isinstance(added, list):
        return added + theirs if key == "routes" else theirs + added
    assert theirs is None, f"the page would replace {key} of the team"
    return added


def adopt(
    folder: Path,
    *,
    bot: str = BOT,
    webhook: str = WEBHOOK,
    exporter: str = EXPORTER,
    team: str = "127.0.0.1:1",
) -> Adopted:
    """Follow the page, up to the check of both files.

    Args:
        folder: stands for the whole machine; made.
        bot: address of the bot that the page registers.
        webhook: where the reconciler listens.
        exporter: where the exporter listens.
        team: address of the team's own receivers.
    """
    var = folder / "var"
    text = snippet("targets.yml")
    for shown, real in ((BOT, bot), (WEBHOOK, webhook), (EXPORTER, exporter)):
        text = text.replace(shown, real)
    registry = parse_targets(text, where="docs/adopt.md")
    settings = Settings(
        root=ROOT,
        var=var,
        prometheus_config=ROOT / "prometheus",
        alertmanager_config=ROOT / "alertmanager",
    )
    lay_out(settings, registry)
    prometheus, alertmanager = folder / "prometheus", folder / "alertmanager"
    (prometheus / "team").mkdir(parents=True)
    (prometheus / "team" / "rules.yml").write_text(TEAM_RULES, encoding="utf-8")
    (prometheus / "team" / "prometheus.json").write_text("[]", encoding="ascii")
    alertmanager.mkdir()
    run_commands(prometheus, alertmanager, var)

    theirs = yaml.safe_load(TEAM_PROMETHEUS)
    after = laid_over(theirs, yaml.safe_load(snippet("prometheus.yml")))
    ours = snippet("alertmanager.yml").replace("your-oncall", "team-pager")
    routed = laid_over(
        yaml.safe_load(TEAM_ALERTMANAGER.replace("TEAM", team)),
        yaml.safe_load(ours.replace(WEBHOOK, webhook))
        | {"inhibit_rules": read_yaml(ROUTES)["inhibit_rules"]},
    )
    for path, config in (
        (prometheus / "prometheus.yml", after),
        (alertmanager / "alertmanager.yml", routed),
    ):
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return Adopted(prometheus / "prometheus.yml", alertmanager / "alertmanager.yml", var)


def run_commands(prometheus: Path, alertmanager: Path, var: Path) -> None:
    """Run the page's own commands, with the three folders in their places."""
    (commands,) = blocks(PAGE, "sh")
    for name, folder in (
        ("/etc/prometheus", prometheus),
        ("/etc/alertmanager", alertmanager),
        ("var/", f"{var}/"),
    ):
        assert name in commands
        commands = commands.replace(name, str(folder))
    subprocess.run(["bash", "-euc", commands], cwd=ROOT, check=True, capture_output=True)
