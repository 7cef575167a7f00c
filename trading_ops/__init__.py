"""Operations for trading bots: detect, decide, remediate, verify, or page on-call.

The data flow:

1. the bot holds one `instrument.BotMetrics` and embeds an `agent` (metrics, health, commands),
2. an `exporter` next to it collects what the bot cannot measure itself,
3. Prometheus scrapes both and evaluates `prometheus/rules/*.yml`,
4. Alertmanager groups firing alerts and notifies the reconciler at once,
   and on-call after the alert's `page_after` time,
5. `api` stores the notification, commits, and only then answers 200,
6. `reconciler` opens one incident per alert and observes the current state,
7. `domain.decide`, a pure function, returns the next step and the reason,
8. `actions` execute it through `clients`; `store` records every step,
9. the runbook's PromQL query verifies that it worked,
10. and the incident is closed or on-call is paged.
"""

__version__ = "0.1.0"
