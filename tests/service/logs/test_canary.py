"""Planted secrets: never in a log, an event, a metric or an answer of the agent."""

import asyncio
import base64
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.free_ports import free_port
from tests.unit.logs.reading import lines_of
from trading_ops import logs, redaction
from trading_ops.agent import Agent, Command, CommandFailed, ComponentHealth, Health, Params
from trading_ops.config.log_policy import LogPolicy
from trading_ops.instrument import BotMetrics
from trading_ops.redaction import REDACTED, redact

KNOWN = 'canary-öl"x\\y/z+1-9f31'
"""Read from a file; of every character that some writer escapes."""

UNKNOWN = "swordfish-77e1"
"""It is in no list: only its position reveals it."""

PLACES = [
    f"Authorization: Bearer {UNKNOWN}",
    f"authorization: Basic {base64.b64encode(UNKNOWN.encode()).decode()}",
    f"API-Key: {UNKNOWN}",
    f"API-Sign={UNKNOWN}",
    f"Cookie: session={UNKNOWN}; other={UNKNOWN}",
    f"postgresql://bot:{UNKNOWN}@db.example/records",
    f"redis://:{UNKNOWN}@cache.example:6379",
    f"https://{UNKNOWN}@git.example/x",
    f"GET /stream?token={UNKNOWN}&pair=BTC",
    f"wss://x.example/?a=1&signature={UNKNOWN}",
    f"host=db user=bot password={UNKNOWN} dbname=x",
    str({"password": UNKNOWN, "n": 1}),
    json.dumps({"headers": {"Authorization": f"Bearer {UNKNOWN}"}}),
    json.dumps(json.dumps({"api_key": UNKNOWN, "api-secret": UNKNOWN})),
    json.dumps(json.dumps(json.dumps({"ws_token": UNKNOWN}))),
    str({b"API-Sign": UNKNOWN.encode()}).replace("b'API", "'API"),
    f"private_key = {UNKNOWN}",
    f"refresh_token: {UNKNOWN}",
]


@pytest.fixture
def canaries() -> Iterator[None]:
    redaction.known(KNOWN)
    yield
    redaction.forget_all()


def forms(value: str) -> list[str]:
    """Return how a secret may be seen."""
    plain = [value, quote(value, safe=""), quote(value), repr(value)[1:-1]]
    plain += [base64.b64encode(value.encode()).decode().rstrip("="), repr(value.encode())[2:-1]]
    return plain + [json.dumps(secret)[1:-1] for secret in plain]


def clean(text: str) -> bool:
    return not any(form in text for value in (KNOWN, UNKNOWN) for form in forms(value))


@pytest.mark.parametrize("text", PLACES)
def test_what_stands_where_secrets_stand_is_taken(text: str) -> None:
    """No one knows the value; the place is enough. JSON stays JSON."""
    seen = redact(text)
    assert clean(seen)
    assert REDACTED in seen
    if text.startswith(("{", '"')) and "'" not in text:
        json.loads(seen)
    assert redact(seen) == seen


@pytest.mark.usefixtures("canaries")
@given(
    around=st.tuples(st.text(max_size=30), st.text(max_size=30)), form=st.sampled_from(forms(KNOWN))
)
def test_what_is_known_is_taken_in_every_form(around: tuple[str, str], form: str) -> None:
    """Wherever it stands, also inside JSON inside JSON."""
    redaction.known(KNOWN)
    text = around[0] + form + around[1]
    assert form not in redact(text)
    assert form not in json.loads(redact(json.dumps({"a": [text]})))["a"][0]


@pytest.mark.parametrize(
    "text",
    [
        "order_filled alpha-1 BTC/USD 0.001",
        "http://127.0.0.1:8411/metrics",
        "/var/secrets/agent_token: it is empty",
        '{"token_file": "/x/y", "passes": 3, "secret": null}',
        "bot@example.org passed 3 of 4",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A log that tells nothing is no log."""
    assert redact(text) == text


@pytest.fixture
def log(tmp_path: Path, canaries: None) -> Iterator[Path]:
    root = logging.getLogger()
    before, hooks = root.handlers[:], (sys.excepthook, threading.excepthook)
    logs.configure("canary", policy=LogPolicy(folder=tmp_path, level="DEBUG"))
    yield tmp_path / "canary.log"
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


def fail(text: str) -> None:
    try:
        int(text)
    except ValueError as cause:
        raise RuntimeError(f"while {text}") from cause


def test_no_line_has_a_secret(log: Path) -> None:
    """Fields, nested values, keys, arguments, exceptions with their causes, bound ids."""
    logger = logs.get("canary")
    for text in [KNOWN, *PLACES]:
        logger.info(
            "planted", text=text, nested={"a": [{"b": (text,)}], text: 1}, raw=text.encode()
        )
        logging.getLogger("library").warning("said %s", text)
        with logs.bound(order=text):
            logger.info("bound")
        try:
            fail(text)
        except RuntimeError:
            logger.exception("failed", url=text)
    logger.info("config", password=UNKNOWN, api_key=UNKNOWN, headers={"Authorization": UNKNOWN})
    logs.flush(5)
    lines = lines_of(log)
    assert len(lines) == 4 * (len(PLACES) + 1) + 1
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert [line for line in lines if not clean(line)] == []


CRASH = """
import sys, threading
from pathlib import Path
from trading_ops import logs, redaction
redaction.known(sys.argv[2])
logs.configure("crash", policy=logs.LogPolicy(folder=Path(sys.argv[1])))
def fail(): raise ValueError("password=" + sys.argv[3] + " " + sys.argv[2])
thread = threading.Thread(target=fail); thread.start(); thread.join()
fail()
"""


def test_a_crash_is_logged_without_secrets(tmp_path: Path) -> None:
    """Of the process, and of a thread; nothing is printed beside the log."""
    secrets = (str(tmp_path), KNOWN, UNKNOWN)
    done = subprocess.run(
        [sys.executable, "-c", CRASH, *secrets], capture_output=True, text=True, check=False
    )
    lines = lines_of(tmp_path / "crash.log")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert [json.loads(line)["event"] for line in lines] == ["thread_crashed", "process_crashed"]
    assert all("ValueError" in line and clean(line) for line in lines)


@pytest.mark.usefixtures("log")
async def test_the_agent_answers_without_secrets(tmp_path: Path, log: Path) -> None:
    """A command that fails quotes what it was sent; so do health and metrics never."""

    async def fails(_params: Params) -> str:
        raise CommandFailed(f"the venue refused {KNOWN} at https://u:{UNKNOWN}@x.example")

    async def crashes(_params: Params) -> str:
        raise ValueError(f"Authorization: Bearer {UNKNOWN} {KNOWN}")

    def health() -> Health:
        return Health(components={"broker": ComponentHealth(up=False, detail=f"is {KNOWN}")})

    metrics = BotMetrics(version="1", mode="paper")
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", free_port()),
        metrics=metrics,
        health=health,
        commands={"fails": Command(run=fails), "crashes": Command(run=crashes)},
        state_dir=tmp_path,
        metrics_token="metrics-token-1",
        agent_token="agent-token-12",
    )
    agent.start()
    url = f"http://{agent.host}:{agent.port}"
    heads = {"Authorization": "Bearer agent-token-12"}
    answers: list[str] = []
    try:
        async with aiohttp.ClientSession(headers=heads) as http:
            for number, name in enumerate(("fails", "crashes", KNOWN)):
                body = {"attempt_id": f"a{number}", "fence": 1}
                path = f"{url}/commands/{quote(name, safe='')}"
                async with http.post(path, json=body) as answer:
                    answers.append(await answer.text())
            for path in ("/attempts/a0", "/attempts/a1", "/health", "/metrics"):
                async with http.get(url + path) as answer:
                    answers.append(await answer.text())
            hold = {"owner": "anna", "reason": f"key {KNOWN} leaked"}
            body = {"attempt_id": "a9", "fence": 1, "params": hold}
            async with http.post(f"{url}/commands/halt", json=body) as answer:
                answers.append(await answer.text())
            async with http.get(f"{url}/health") as answer:
                answers.append(await answer.text())
    finally:
        await asyncio.to_thread(agent.stop)
    logs.flush(5)
    answers.append((tmp_path / "fence.json").read_text())  # where answers are kept
    assert "failed" in answers[0]
    assert REDACTED in answers[0]
    assert [text for text in [*answers, *lines_of(log)] if not clean(text)] == []
