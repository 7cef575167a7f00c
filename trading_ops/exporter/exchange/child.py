"""The child process: `python -m trading_ops.exporter.exchange.child`; requests come on its stdin.

It exits at the end of its input, and the kernel kills it when its parent exits. It never calls
anything that places or changes orders, or withdraws.
"""

import contextlib
import ctypes
import importlib
import importlib.util
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, BinaryIO

import msgspec

from trading_ops import clock
from trading_ops.errors import ClientError
from trading_ops.exporter.exchange.messages import (
    CurrencyBalance,
    ExchangeAnswer,
    FailureKind,
    Question,
    RequestFailure,
    Setup,
)
from trading_ops.exporter.exchange.permissions import REQUESTS

PR_SET_PDEATHSIG = 1
LARGEST_COUNT = 50
LONGEST_REASON = 200
CURRENCY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,31}")

KEY_ERRORS = re.compile(r"invalid (signature|key|api)|api-?key", re.IGNORECASE)

# The first match among an error's classes is its kind.
KINDS: Mapping[str, FailureKind] = {
    "RateLimitExceeded": FailureKind.RATE_LIMIT,
    "DDoSProtection": FailureKind.RATE_LIMIT,
    "InvalidNonce": FailureKind.NONCE,
    "PermissionDenied": FailureKind.PERMISSION,
    "AuthenticationError": FailureKind.KEY,
    "OnMaintenance": FailureKind.MAINTENANCE,
    "RequestTimeout": FailureKind.TIMEOUT,
    "NetworkError": FailureKind.NETWORK,
}


class Exchange:
    """One venue and the three kinds of requests to it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        options = {
            "apiKey": setup.key,
            "secret": setup.secret,
            "password": setup.passphrase,
            "timeout": int(setup.timeout_seconds * 1000),
        }
        self._venue = exchange_class(setup.exchange)(options)
        if setup.request_interval is not None:
            self._venue.rateLimit = setup.request_interval * 1000
        self._last_request = 0.0
        if setup.url is not None:
            self._venue.urls["api"] = _replaced(self._venue.urls["api"], setup.url)

    def answer(self, question: Question) -> ExchangeAnswer:
        """Query the venue; errors are returned as part of the answer."""
        ask: Mapping[Question, Callable[[], ExchangeAnswer]] = {
            Question.PUBLIC: self._public,
            Question.KEY: self._key,
            Question.BALANCES: self._balances,
        }
        began = clock.monotonic()
        try:
            return ask[question]()
        except Exception as error:  # noqa: BLE001 - a venue can answer anything
            return ExchangeAnswer(failure=self._failure(error), duration=clock.monotonic() - began)

    def _public(self) -> ExchangeAnswer:
        venue, status, reported = self._venue, "ok", None
        # ccxt would wait inside the call, and the wait would count as latency of the venue.
        venue.enableRateLimit = False
        self._pause()
        began, sent_at = clock.monotonic(), clock.timestamp()
        if venue.has.get("fetchStatus"):
            status = str(venue.fetch_status().get("status") or "ok")
        elif not venue.has.get("fetchTime"):
            raise ClientError("ccxt supports neither the status nor the time of this venue")
        else:  # the time request covers both
            reported = venue.fetch_time()
        duration, received_at = clock.monotonic() - began, clock.timestamp()
        if reported is None and venue.has.get("fetchTime"):
            self._pause()
            sent_at = clock.timestamp()
            reported, received_at = venue.fetch_time(), clock.timestamp()
        return ExchangeAnswer(
            duration=duration,
            status=status[:LONGEST_REASON],
            venue_time=None if reported is None else float(reported) / 1000,
            our_time=(sent_at + received_at) / 2,
            request_interval=float(venue.rateLimit) / 1000,
        )

    def _pause(self) -> None:
        """Wait for the venue's minimum interval between requests."""
        due = self._last_request + self._venue.rateLimit / 1000
        time.sleep(max(0.0, due - clock.monotonic()))
        self._last_request = clock.monotonic()

    def _key(self) -> ExchangeAnswer:
        if self._setup.exchange not in REQUESTS:
            return ExchangeAnswer()
        self._venue.enableRateLimit = True
        method, judge = REQUESTS[self._setup.exchange]
        return ExchangeAnswer(can_do_more=judge(getattr(self._venue, method)()))

    def _balances(self) -> ExchangeAnswer:
        self._venue.enableRateLimit = True
        found = self._venue.fetch_balance()
        totals, free = found.get("total") or {}, found.get("free") or {}
        wanted = self._setup.currencies or sorted(name for name, total in totals.items() if total)
        balances = [
            CurrencyBalance(name, float(totals.get(name) or 0), _number(free.get(name)))
            for name in wanted
            if CURRENCY.fullmatch(name)
        ]
        left_out = len(wanted) - len(balances[:LARGEST_COUNT])
        return ExchangeAnswer(balances=tuple(balances[:LARGEST_COUNT]), left_out=left_out)

    def _failure(self, error: Exception) -> RequestFailure:
        kind = kind_of(error)
        reason = re.sub(r"\?\S*", "?…", str(error))  # the rest contains a signature
        for secret in (self._setup.secret, self._setup.key, self._setup.passphrase):
            reason = reason.replace(secret, "***") if secret else reason
        return RequestFailure(kind, f"{type(error).__name__}: {reason}"[:LONGEST_REASON])


def kind_of(error: Exception) -> FailureKind:
    """Return the kind of an error, by ccxt's class, or by the venue's message if it has none."""
    classes = {kind.__name__ for kind in type(error).__mro__}
    for name, kind in KINDS.items():
        if name in classes:
            return kind
    return FailureKind.KEY if KEY_ERRORS.search(str(error)) else FailureKind.OTHER


def exchange_class(name: str) -> Callable[[dict[str, Any]], Any]:
    """Import one venue's class; importing all of ccxt would take twice the memory.

    Raises:
        ImportError: ccxt is not installed, or knows no such venue.
    """
    spec = importlib.util.find_spec("ccxt")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("ccxt is not installed")
    alone = ModuleType("ccxt")
    alone.__spec__, alone.__path__ = spec, list(spec.submodule_search_locations)
    sys.modules["ccxt"] = alone
    try:
        return _class_of(importlib.import_module(f"ccxt.{name}"), name)
    except (ImportError, AttributeError):  # in this ccxt release, venues need the whole package
        for loaded in [module for module in sys.modules if module.partition(".")[0] == "ccxt"]:
            del sys.modules[loaded]
        return _class_of(importlib.import_module("ccxt"), name)


def _class_of(module: ModuleType, name: str) -> Callable[[dict[str, Any]], Any]:
    found: Callable[[dict[str, Any]], Any] | None = getattr(module, name, None)
    if found is None:
        raise ImportError(f"ccxt does not support venue {name!r}")
    return found


def _replaced(urls: Any, url: str) -> Any:
    """Return the same tree of URLs with every leaf replaced."""
    if isinstance(urls, dict):
        return {key: _replaced(value, url) for key, value in urls.items()}
    return url


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def main() -> None:
    """Answer until the input ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is handled by the parent, which closes the input
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    with os.fdopen(os.dup(1), "wb") as output, contextlib.suppress(BrokenPipeError):
        os.dup2(2, 1)  # output of libraries must not be taken for an answer
        _answer_all(sys.stdin.buffer, output)


def _answer_all(questions: BinaryIO, output: BinaryIO) -> None:
    exchange = None
    setup = msgspec.json.decode(questions.readline(), type=Setup)
    for line in questions:
        question = msgspec.json.decode(line, type=Question)
        try:
            exchange = exchange or Exchange(setup)
            answer = exchange.answer(question)
        except Exception as error:  # noqa: BLE001 - no ccxt, or one that cannot be used
            answer = ExchangeAnswer(
                failure=RequestFailure(FailureKind.OTHER, str(error)[:LONGEST_REASON])
            )
        output.write(msgspec.json.encode(answer) + b"\n")
        output.flush()


if __name__ == "__main__":
    main()
