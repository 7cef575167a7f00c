"""The recording rule and the reconciler tell faults apart in the same way."""

import re
from collections.abc import Iterator

from tests.rules.configuration import PROMETHEUS, load_rules, read_yaml, recorded
from trading_ops.domain.acknowledgement import BOT, ORIGIN, SUBJECT_LABELS, VENUE

OF_ALL = frozenset(
    {"alertname", BOT, ORIGIN, VENUE, "severity", "page_after", "remediation", "tier", "after"}
)
REPEATED_LABELS = frozenset({"job", "target", "sloth_service", "sloth_slo"})
"""Each rule selects one job; `bot`, `venue` and `sloth_id` say the same as the others."""

MESSAGES = frozenset({"TradingOpsTest", "TradingOpsNotice"})
"""They pass on what an operator said and end after a minute."""


def test_the_rule_joins_the_labels_that_the_reconciler_joins() -> None:
    """In the same order: otherwise an acknowledgement is not found."""
    joined = re.search(r'"subject", "",(?P<names>[^)]*)\)', recorded()["fault:ALERTS:max"])
    assert joined is not None
    assert tuple(re.findall(r'"(\w+)"', joined["names"])) == SUBJECT_LABELS


def test_every_label_of_an_alert_distinguishes_faults() -> None:
    """A label that is left out would make one fault of two hosts, symbols or databases."""
    known = OF_ALL | REPEATED_LABELS | set(SUBJECT_LABELS)
    unknown = {(alert, name) for alert, names in _labels() for name in names - known}
    assert unknown == set()


def _labels() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the labels of each alert, as the rules and their tests have them."""
    for rule in load_rules():
        if rule.name not in MESSAGES:
            yield rule.name, frozenset(rule.labels)
    for path in sorted((PROMETHEUS / "tests").glob("*.yml")):
        for test in read_yaml(path)["tests"]:
            for case in test.get("alert_rule_test", ()):
                if case["alertname"] not in MESSAGES:
                    for alert in case.get("exp_alerts", ()):
                        yield case["alertname"], frozenset(alert.get("exp_labels", ()))
