# Our own processes: bot, venue, exporter, reconciler, mail sink; docker-compose.yml says which. Configuration
# and secrets are mounted; the image holds no secret.
FROM python:3.11.15-slim-bookworm AS build

WORKDIR /build
COPY requirements/runtime.lock requirements/runtime.lock
RUN python -m venv /opt/trading-ops
RUN /opt/trading-ops/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps \
    --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY trading_ops trading_ops
COPY trading_ops_lab trading_ops_lab
# The package links to these for `trading-ops init`.
COPY prometheus prometheus
COPY alertmanager alertmanager
COPY grafana/dashboards grafana/dashboards
COPY grafana/provisioning grafana/provisioning
COPY runbooks runbooks
COPY deploy deploy
COPY targets.yml ./
RUN /opt/trading-ops/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .
RUN /opt/trading-ops/bin/trading-ops --version

FROM python:3.11.15-slim-bookworm

RUN groupadd --gid 10001 trading && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin trading
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/trading-ops && install -d /srv/trading-ops
COPY --from=build /opt/trading-ops /opt/trading-ops
COPY docker/entrypoint.sh docker/ask.py /usr/local/lib/trading-ops/

ENV PATH=/opt/trading-ops/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    TRADING_OPS_ROOT=/srv/trading-ops \
    TRADING_OPS_VAR=/var/lib/trading-ops

WORKDIR /srv/trading-ops
USER 10001:10001
ENTRYPOINT ["sh", "/usr/local/lib/trading-ops/entrypoint.sh"]
CMD ["trading-ops", "--help"]
