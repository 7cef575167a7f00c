"""The registry refuses what it does not understand, and says how to fix it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from trading_ops.config.targets import load_targets, parse_targets, split_address
from trading_ops.domain.target import Kind, Manager, Registry, Restarts, Selection, Service, Target
from trading_ops.errors import ConfigError, NothingSelected
from trading_ops.project.discovery import discovery

SHIPPED = Path(__file__).parents[2] / "targets.yml"
TEXT = SHIPPED.read_text()
SYSTEMD = "{manager: systemd, unit: alpha.service, node: host-1}"
NODE = "\n  - {name: host-1, kind: node, address: 127.0.0.1:8461}\n"


def test_the_shipped_registry() -> None:
    """One bot on one venue, whose restarts are the reconciler's and no one else's."""
    registry = load_targets(SHIPPED)
    (bot,) = registry.of_kind(Kind.BOT)
    assert bot.venue == registry.one(Kind.VENUE).name
    by_reconciler = [
        target.name
        for target in registry
        if target.service and target.service.restarts is Restarts.RECONCILER
    ]
    assert by_reconciler == [bot.name]


def test_a_target_may_be_for_looking_at_only() -> None:
    """Nothing is done to it automatically."""
    text = TEXT.replace("name: alpha\n", "name: alpha\n    observe_only: true\n")
    watched = [target.name for target in parse_targets(text, where="test") if target.observe_only]
    assert watched == ["alpha"]


def test_a_bot_of_another_service_manager_may_trade_anywhere() -> None:
    """A real exchange has no address in the registry; its name is a label."""
    text = TEXT.replace("venue: paper", "venue: kraken")
    text = text.replace("{manager: supervisor, unit: bot-alpha, restarts: reconciler}", SYSTEMD)
    (bot,) = parse_targets(text + NODE, where="test").of_kind(Kind.BOT)
    assert bot.venue == "kraken"
    with pytest.raises(ConfigError, match="invalid venue name"):
        parse_targets(text.replace("venue: kraken", "venue: A/B") + NODE, where="test")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version: 1", "version: 2", "write `version: 1`"),
        ("version: 1", "version: [", "line "),
        ("    kind: venue", "   kind: venue", "line "),
        ("kind: venue", "kind: casino", "targets[paper]: Invalid enum value 'casino'"),
        ("kind: venue", "kind: casino", "Fix: one of bot, "),
        ("    kind: venue", "    kid: venue", "kid"),
        ("name: alpha", "name: Alpha!", "lower-case letters"),
        ("name: exporter", "name: alpha", "duplicate name"),
        ("kind: exporter", "kind: exporter\n    token_file: a", "of kind exporter"),
        ("kind: bot", "kind: bot\n    token_file: ''", "token_file: it is empty"),
        ("venue: paper", "venue: nowhere", "unknown venue 'nowhere'"),
        ("venue: paper", "venue: exporter", "unknown venue 'exporter'"),
        (
            "    faults: 127.0.0.1:8402 ",
            "    # ",
            "targets[alpha].service: the supervisor runs only the",
        ),
        ("address: 127.0.0.1:8401 ", "address: 127.0.0.1:8402 ", "choose a free port"),
        ("address: 127.0.0.1:8401", "address: 0.0.0.0:8401", "is not a single address"),
        ("address: 127.0.0.1:8401", "address: localhost:8401", "is not a single address"),
        ("address: 127.0.0.1:8401", "address: 127.0.0.1:99999", "invalid port 99999"),
        ("address: 127.0.0.1:8401", "address: 127.0.0.1", "invalid address"),
        ("{strategy: sma_cross}", "{bot: beta}", "reserved label 'bot'"),
        ("{strategy: sma_cross}", '{"a-b": c}', "reserved label 'a-b'"),
        ("{strategy: sma_cross}", "{__scheme__: https}", "reserved label '__scheme__'"),
        ("unit: bot-alpha", "unit: ../../tmp/x", "'../../tmp/x' is not a unit of supervisor"),
        (
            "{manager: supervisor, unit: bot-alpha,",
            "{manager: upstart, unit: bot-alpha,",
            "Invalid enum value 'upstart'",
        ),
        (
            "{manager: supervisor, unit: bot-alpha,",
            "{manager: systemd, unit: bot-alpha,",
            "'bot-alpha' is not a unit of systemd",
        ),
        (
            "{manager: supervisor, unit: bot-alpha,",
            "{manager: systemd, unit: a.service,",
            "None is not a target of kind node",
        ),
        (
            "{manager: supervisor, unit: bot-alpha,",
            "{manager: docker, unit: a, node: paper,",
            "'paper' is not a target of kind node",
        ),
        (
            "{manager: supervisor, unit: bot-alpha,",
            "{manager: supervisor, unit: bot-alpha, node: paper,",
            "the supervisor does not run on a node",
        ),
        ("address: 127.0.0.1:8411", "address: localhost:8411", "is not a single address"),
        ("address: 127.0.0.1:8411", "address: -x:8411", "invalid address"),
        ("address: 127.0.0.1:8411", "address: 10.0.0.5:8411", "without TLS. Fix: write it as 127"),
        ("address: 127.0.0.1:8411", "address: 10.0.0.5:8411", "add `tls: true`"),
        ("address: 127.0.0.1:8411", "address: bot.example.com:8411", "add `tls: true`"),
        ("address: 127.0.0.1:8411", "address: 127.0.0.1:8411\n    tls: true", "without TLS"),
        (
            "address: 127.0.0.1:8401",
            "address: 127.0.0.1:8401\n    tls: true",
            "does not support TLS",
        ),
        ("kind: mail", "kind: supervisor", "more than one target of kind supervisor"),
        ("kind: supervisor", "kind: node", "no target of kind supervisor"),
        ("kind: alertmanager", "kind: exporter", "no target of kind alertmanager"),
    ],
)
def test_mistakes_are_explained(old: str, new: str, expected: str) -> None:
    """Each names the file, the entry and the fix."""
    assert old in TEXT, "targets.yml has changed: this test must too"
    with pytest.raises(ConfigError) as caught:
        parse_targets(TEXT.replace(old, new, 1), where="targets.yml")
    assert str(caught.value).startswith("targets.yml")
    assert "\n" not in str(caught.value)
    assert expected in str(caught.value)


def test_alertmanagers_and_reconcilers_may_be_several() -> None:
    """A cluster each; every one of them is discovered, and the first stands for all."""
    more = TEXT
    for kind in ("alertmanager", "reconciler"):
        more += f"\n  - {{name: {kind}-2, kind: {kind}, address: 127.0.0.1:{9200 + len(kind)}}}"
    registry = parse_targets(more, where="targets.yml")
    for kind, name in ((Kind.ALERTMANAGER, "alertmanagers"), (Kind.RECONCILER, "reconcilers")):
        members = registry.of_kind(kind)
        assert len(members) == 2
        assert registry.one(kind) == members[0]
        found = [target for group in discovery(registry)[name] for target in group["targets"]]
        assert found == [member.address for member in members]


def test_a_missing_registry(tmp_path: Path) -> None:
    """The path and the variable that names another are in the sentence."""
    with pytest.raises(ConfigError, match="TRADING_OPS_TARGETS_FILE"):
        load_targets(tmp_path / "targets.yml")


def test_a_registry_that_is_no_text(tmp_path: Path) -> None:
    """A sentence, no traceback."""
    (tmp_path / "targets.yml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_targets(tmp_path / "targets.yml")


def test_addresses_are_split() -> None:
    """IPv6 loopback is loopback too."""
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split_address("::1:80") == ("::1", 80)


def test_beyond_this_machine_with_tls() -> None:
    """An address, an IPv6 address and a name; on this machine it may be encrypted as well."""
    more = TEXT
    for name, address in (
        ("far", "10.0.0.5:8461"),
        ("farther", "'[fd00::5]:8461'"),
        ("named", "bot-3.example.com:8461"),
        ("here", "127.0.0.1:8461"),
    ):
        more += f"  - {{name: {name}, kind: node, address: {address}, tls: true}}\n"
    registry = parse_targets(more, where="targets.yml")
    assert [target.url for target in registry.of_kind(Kind.NODE)] == [
        "https://10.0.0.5:8461",
        "https://[fd00::5]:8461",
        "https://bot-3.example.com:8461",
        "https://127.0.0.1:8461",
    ]
    assert registry.one(Kind.PROMETHEUS).url == "http://127.0.0.1:9090"
    schemes = [group["labels"].get("__scheme__") for group in discovery(registry)["nodes"]]
    assert schemes == ["https"] * 4
    assert "__scheme__" not in discovery(registry)["prometheus"][0]["labels"]
    hosts = [group["labels"]["host"] for group in discovery(registry)["nodes"]]
    assert hosts == [target.name for target in registry.of_kind(Kind.NODE)]


NODE = """  - name: host-1
    kind: node
    address: 127.0.0.1:8461
"""


def with_service(service: str) -> str:
    """Return the committed registry with a node, and this service for its bot."""
    old = "{manager: supervisor, unit: bot-alpha, restarts: reconciler}"
    assert old in TEXT
    return TEXT.replace(old, service) + NODE


@pytest.mark.parametrize(
    ("service", "manager"),
    [
        ("{manager: systemd, unit: trading-bot@alpha.service, node: host-1}", Manager.SYSTEMD),
        ("{manager: docker, unit: alpha_1, node: host-1}", Manager.DOCKER),
        (
            (
                "{manager: command, unit: alpha, node: host-1, "
                "commands: {status: [/bin/s], restart: [/bin/r, now]}}"
            ),
            Manager.COMMAND,
        ),
    ],
)
def test_a_service_on_a_node_is_read(service: str, manager: Manager) -> None:
    bot = parse_targets(with_service(service), where="targets.yml").find("alpha")
    assert bot is not None
    assert bot.service is not None
    assert (bot.service.manager, bot.service.node) == (manager, "host-1")


def test_a_part_of_the_fleet_is_selected_by_team_and_host() -> None:
    """A bot is on the host of its node unless a label says otherwise; Prometheus gets it too."""
    text = with_service("{manager: docker, unit: alpha, node: host-1}")
    registry = parse_targets(text, where="targets.yml")

    def names(**wanted: str) -> set[str]:
        return {target.name for target in registry.select(Selection(**wanted))}

    assert names(host="host-1") == {"alpha", "host-1"}
    assert names() == {target.name for target in registry}
    with pytest.raises(NothingSelected, match=r"team 'fx'.* Hosts: host-1"):
        names(team="fx")
    (bot,) = discovery(registry)["bots"]
    assert bot["labels"]["host"] == "host-1"
    text = text.replace("strategy: sma_cross", "team: fx, host: rack-2")
    registry = parse_targets(text, where="targets.yml")
    assert names(team="fx", host="rack-2") == {"alpha"}
    assert names(host="host-1") == {"host-1"}
    (bot,) = discovery(registry)["bots"]
    assert (bot["labels"]["team"], bot["labels"]["host"]) == ("fx", "rack-2")


def test_a_bot_that_the_exporter_reads_has_its_host_too() -> None:
    """Boards and rules select by the same labels, whatever kind of bot it is."""
    service = Service(manager=Manager.DOCKER, unit="freq", node="host-1")
    freq = Target(name="freq", kind=Kind.FREQTRADE, address="127.0.0.1:2", service=service)
    exporter = Target(name="exporter", kind=Kind.EXPORTER, address="127.0.0.1:1")
    (bot,) = discovery(Registry((exporter, freq)))["bots"]
    assert (bot["labels"]["host"], bot["labels"]["bot"]) == ("host-1", "freq")
    named = replace(freq, service=None, labels={"host": "rack-2"})
    (bot,) = discovery(Registry((exporter, named)))["bots"]
    assert bot["labels"]["host"] == "rack-2"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("{manager: command, unit: a, node: host-1}", "missing command for status"),
        (
            "{manager: command, unit: a, node: host-1, commands: {status: [s], restart: [/bin/r]}}",
            "must start with an absolute path",
        ),
        (
            (
                "{manager: command, unit: a, node: host-1, "
                "commands: {status: [/bin/s], restart: [/bin/r], reload: [/bin/l]}}"
            ),
            "unknown verb 'reload'",
        ),
        ("{manager: docker, unit: a, node: host-1, commands: {start: [/a]}}", "takes no commands"),
        ("{manager: docker, unit: ../a, node: host-1}", "is not a unit of docker"),
        ("{manager: systemd, unit: a.socket, node: host-1}", "is not a unit of systemd"),
        ("{manager: docker, unit: a, node: nowhere}", "'nowhere' is not a target of kind node"),
    ],
)
def test_mistakes_about_services_are_explained(service: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)) as caught:
        parse_targets(with_service(service), where="targets.yml")
    assert "targets[alpha].service" in str(caught.value)
    assert "Fix:" in str(caught.value)
