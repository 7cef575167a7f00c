"""Operations for trading bots: detect, decide, recover, verify, or call a person.

The way of the data, in ten lines:

1. the bot holds one `instrument.BotMetrics` and embeds an `agent` (metrics, health, commands),
2. an `exporter` beside it tells what the bot cannot know of itself,
3. Prometheus scrapes both and evaluates `prometheus/rules/*.yml`,
4. Alertmanager groups what fires and sends it to the reconciler at once,
   and to people after the alert's own `page_after` time,
5. `api` stores the notification, commits, and only then answers 200,
6. `reconciler` opens one incident per alert and looks at the world,
7. `domain.decide` says what to do next, and why, without touching anything,
8. `actions` carry it out through `clients`; `store` keeps every step,
9. the runbook's PromQL query says whether it worked,
10. and the incident is closed, or a person is called.
"""

__version__ = "0.1.0"
