# `make up` in one terminal, `make drill ALERT=…` in another.
# Targets that need the virtual environment create it first; this is instant when nothing changed.

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up down status doctor unit unit-pythons test coverage test-processes test-slow test-long lint drill gameday bench bench-capacity bench-fleet rules boards crash crash-bot crash-replicas soak fuzz planted test-compose test-hosts test-freqtrade test-kubernetes test-newest test-backup attacks faults test-console docs
SHELL := /bin/bash

help: ## Show this help
	@echo "trading-ops: monitoring, alerting and verified auto-remediation for trading bots"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo "Start with: make up"

setup: ## Install the virtual environment, Prometheus and Alertmanager
	@scripts/setup.sh

setup-dev:
	@scripts/setup.sh --dev

up: setup ## Start the stack and run it until Ctrl-C
	@.venv/bin/trading-ops up

down: setup ## Stop the stack
	@.venv/bin/trading-ops down

status: setup ## Show the processes of the running stack
	@.venv/bin/trading-ops status

doctor: setup ## Check tools, configuration and every connection
	@.venv/bin/trading-ops doctor

unit: setup-dev ## Run the unit and property tests, in less than a minute
	@scripts/unit.sh

unit-pythons: setup-dev ## Run the unit tests on Python 3.12 and 3.13 too, where installed
	@scripts/pythons.sh

test: setup-dev ## Run lint and all tests that run in parallel
	@scripts/test.sh

coverage: setup-dev ## Run the same tests with coverage of every process
	@scripts/coverage.sh

test-processes: setup-dev ## Run the tests with real bots, venues, backups and killed processes
	@scripts/parallel.sh -m processes

test-slow: setup-dev ## Run the end-to-end tests, two files at a time
	@scripts/pytest.sh -m slow -n 2 --dist loadfile --no-loadscope-reorder

test-long: setup-dev ## Run the tests that take minutes each: failover, shutdown, updates, soak, bot crashes
	@scripts/pytest.sh -m long -n 2 --dist loadfile

attacks: setup-dev ## Attack a running stack as a stranger, a local user and a rogue bot
	@scripts/pytest.sh -m attacks tests/attacks

faults: setup-dev ## Step clocks, fill disks and remove sources under a running stack
	@scripts/pytest.sh -m faults tests/faults

test-console: setup-dev ## Go through the console in Chromium and write screenshots
	@scripts/test-console.sh

lint: setup-dev ## Check format, style, types and import contracts
	@scripts/lint.sh

drill: setup ## Inject one fault and time the recovery: make drill ALERT=TradingBotBrokerDisconnected
	@test -n "$(ALERT)" || { echo "Specify the alert: make drill ALERT=TradingBotBrokerDisconnected" >&2; exit 2; }
	@.venv/bin/trading-ops drill "$(ALERT)"

gameday: setup ## Run every drill and write the results to docs/gameday.md
	@.venv/bin/trading-ops gameday --record docs

bench: setup ## Measure startup, memory, intake, recorder and exporters against their goals
	@scripts/bench.sh

BOTS ?= 1000
bench-fleet: setup-dev ## Measure CPU, memory, passes and the API with 1, 10, 100 … bots: make bench-fleet BOTS=1000
	@.venv/bin/python -m tests.bench.fleet --targets "$(BOTS)"

bench-capacity: setup-dev ## Compare capacity forecasts with what then happens in generated history
	@.venv/bin/python -m tests.bench.capacity
	@.venv/bin/python -m tests.bench.forecast

KILLS ?= 2000
crash: setup-dev ## SIGKILL the reconciler at every step: make crash KILLS=2000
	@scripts/crash.sh "$(KILLS)"

BOT_KILLS ?= 500
crash-bot: setup-dev ## SIGKILL the bot at every step while its venue fails: make crash-bot BOT_KILLS=500
	@.venv/bin/python -m tests.crash.bot_sweep --kills "$(BOT_KILLS)"

MINUTES ?= 10
crash-replicas: setup-dev ## Freeze, kill and partition two reconcilers: make crash-replicas MINUTES=10
	@.venv/bin/python -m tests.crash.replicas --minutes "$(MINUTES)"

soak: MINUTES = 30
soak: setup-dev ## Run one bot against a faulty venue for a long time: make soak MINUTES=30
	@.venv/bin/python -m tests.crash.bot_soak --minutes "$(MINUTES)"

PAYLOADS ?= 200000
fuzz: setup-dev ## Send malformed notifications and API requests: make fuzz PAYLOADS=200000
	@scripts/fuzz.sh "$(PAYLOADS)"

test-compose: setup-dev ## Start docker-compose.yml, kill the bot and the reconciler in it
	@scripts/pytest.sh -m compose -s tests/compose

test-hosts: setup-dev ## Install on containers as hosts, with systemd and TLS; kill, partition, expire
	@scripts/pytest.sh -m hosts -s tests/hosts

test-freqtrade: setup-dev ## Test against a real Freqtrade in its own virtual environment
	@scripts/test-freqtrade.sh

BINARIES ?=
test-kubernetes: setup-dev ## Test against a real Kubernetes API server: make test-kubernetes BINARIES=FOLDER
	@test -n "$(BINARIES)" || { echo "Name the folder with kube-apiserver and kube-controller-manager: make test-kubernetes BINARIES=FOLDER" >&2; exit 2; }
	@TRADING_OPS_TEST_KUBERNETES="$(abspath $(BINARIES))" scripts/pytest.sh -m kubernetes tests/kubernetes

FLIPS ?= 10000
PG_KILLS ?= 60
TARGETS ?= 200
test-backup: KILLS = 500
test-backup: MINUTES = 20
test-backup: setup-dev ## Flip bits in backups, kill during backup, prune and restore, back up and restore under load, restore PostgreSQL to random times
	@.venv/bin/python -m tests.backup.flips --flips "$(FLIPS)"
	@.venv/bin/python -m tests.backup.kills --kills "$(KILLS)"
	@.venv/bin/python -m tests.backup.kills --kills "$(PG_KILLS)" --postgresql
	@.venv/bin/python -m tests.backup.pitr --targets "$(TARGETS)"
	@.venv/bin/python -m tests.backup.load --minutes "$(MINUTES)"
	@scripts/pytest.sh -m '' tests/backup

VERSIONS ?=
test-newest: setup-dev ## Test on another Prometheus and Alertmanager: make test-newest BINARIES=FOLDER
	@scripts/test-newest.sh "$(BINARIES)" $(VERSIONS)

planted: setup-dev ## Plant bugs in a copy of the code and check that the tests catch each one
	@.venv/bin/python -m tests.planted

rules: setup-dev ## Check and test rules, configurations and runbooks
	@scripts/rules.sh

docs: setup-dev ## Build the documentation as a web site with search, check its links, write the man page
	@scripts/docs.sh

boards: setup-dev ## Regenerate the boards and test every query: make boards [PROMETHEUS=URL]
	@scripts/boards.sh "$(PROMETHEUS)"
