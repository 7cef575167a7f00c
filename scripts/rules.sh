#!/usr/bin/env bash
# Prometheus' and Alertmanager's own checks of the committed files, the rules' tests, and the
# check that rules, runbooks and dashboards are consistent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/say.sh

say "Checking prometheus.yml";    promtool check config --syntax-only prometheus/prometheus.yml
say "Checking the rules";         promtool check rules --lint=all --lint-fatal prometheus/rules/*.yml
say "Testing the rules";          promtool test rules prometheus/tests/*.yml
say "Checking alertmanager.yml";  amtool check-config alertmanager/alertmanager.yml alertmanager/examples/*.yml
say "Testing consistency: rules, routes, runbooks, drills, actions, dashboards"
# All but those that start servers (*_live.py).
shopt -s extglob
.venv/bin/python -m pytest -q -n 2 --dist loadfile tests/actions/test_contract.py \
    tests/rules/test_!(*_live).py
say "Checking the runbooks";      .venv/bin/trading-ops runbook check
