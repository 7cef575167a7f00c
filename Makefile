# Everything a newcomer needs: `make up` in one terminal, `make gameday` in another.
# The targets that need the virtual environment make it first; when nothing changed that is instant.

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev up down status doctor test test-slow test-long lint drill gameday bench rules boards crash crash-bot crash-replicas soak fuzz planted test-freqtrade attacks faults
SHELL := /bin/bash

help: ## Show this help
	@echo "trading-ops: a trading bot, what watches it, and what heals it, on one machine"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20
	@echo
	@echo "Begin with: make up"

setup: ## Install what is needed: virtual environment, Prometheus, Alertmanager
	@scripts/setup.sh

setup-dev:
	@scripts/setup.sh --dev

up: setup ## Start the whole system and keep it up until Ctrl-C
	@.venv/bin/trading-ops up

down: setup ## Stop the system, wherever it was started
	@.venv/bin/trading-ops down

status: setup ## Show the processes of the running system
	@.venv/bin/trading-ops status

doctor: setup ## Check tools, configuration and every connection
	@.venv/bin/trading-ops doctor

test: setup-dev ## Check style, types and imports, then run the tests with coverage
	@scripts/test.sh

test-slow: setup-dev ## The tests of the whole running system, which need the machine for themselves
	@scripts/pytest.sh --slow $$(.venv/bin/python -c 'from tests.conftest import SLOW; print(*sorted(SLOW))')

test-long: setup-dev ## The tests that take minutes each: failover, shutdown, updates, soak, crashes of the bot
	@scripts/pytest.sh --long -n 2 --dist loadfile $$(.venv/bin/python -c 'from tests.conftest import LONG; print(*sorted(LONG))')

attacks: setup-dev ## Attack a running stack as a stranger, a fellow user and a rogue bot would
	@scripts/pytest.sh --long tests/attacks

faults: setup-dev ## Step clocks, fill disks and lose sources under a running stack
	@scripts/pytest.sh --long tests/faults

lint: setup-dev ## Check style, types and imports only
	@scripts/lint.sh

drill: setup ## Break one thing and watch it heal: make drill ALERT=TradingBotBrokerDisconnected
	@test -n "$(ALERT)" || { echo "Name the alert: make drill ALERT=TradingBotBrokerDisconnected" >&2; exit 2; }
	@.venv/bin/trading-ops drill "$(ALERT)"

gameday: setup ## Run every drill, print the tables and write them to docs/gameday.md
	@.venv/bin/trading-ops gameday --record docs

bench: setup ## Measure: start, memory, intake, the recorder, exporters; goals met and missed
	@scripts/bench.sh

KILLS ?= 2000
crash: setup-dev ## Kill the reconciler at every step, thousands of times: make crash KILLS=2000
	@scripts/crash.sh "$(KILLS)"

BOT_KILLS ?= 500
crash-bot: setup-dev ## Kill the bot at every step while its venue misbehaves: make crash-bot BOT_KILLS=500
	@.venv/bin/python -m tests.crash.bot_sweep --kills "$(BOT_KILLS)"

MINUTES ?= 10
crash-replicas: setup-dev ## Freeze, kill and cut off two reconcilers: make crash-replicas MINUTES=10
	@.venv/bin/python -m tests.crash.replicas --minutes "$(MINUTES)"

soak: MINUTES = 30
soak: setup-dev ## Let one bot live long at a venue that misbehaves: make soak MINUTES=30
	@.venv/bin/python -m tests.crash.bot_soak --minutes "$(MINUTES)"

PAYLOADS ?= 200000
fuzz: setup-dev ## Throw malformed notifications and API requests at it: make fuzz PAYLOADS=200000
	@scripts/fuzz.sh "$(PAYLOADS)"

test-freqtrade: setup-dev ## Prove it against the real Freqtrade, in an environment of its own
	@scripts/test-freqtrade.sh

planted: setup-dev ## Plant bugs into a copy of the code, and see that the tests catch each
	@.venv/bin/python -m tests.planted

rules: setup-dev ## Check and test the rules, the configurations and the runbooks
	@scripts/rules.sh

boards: setup-dev ## Regenerate the boards, and ask a Prometheus every query: make boards [PROMETHEUS=URL]
	@scripts/boards.sh "$(PROMETHEUS)"
