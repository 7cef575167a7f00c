"""The example model, a process of its own: answers each line on its input with one on its output.

Run by the bot as `python -m trading_ops_lab.paper.bot.signals.model_process FOLDER SEED PARENT`. A
question is `{"id", "symbol", "prices", "at"}`, an answer `{"id", "symbol", "target", "confidence",
"horizon_seconds", "at"}`. It is a placeholder for your model: momentum in standard deviations, with
a little seeded noise, after a latency of some milliseconds. Not advice.
"""

import ctypes
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trading_ops import clock
from trading_ops_lab.paper.bot.signals.faults import ModelFault, read_fault

LATENCY_SECONDS = (0.002, 0.008)
HORIZON_SECONDS = 30.0
NOISE = 0.05
FASTER = 4
"""The last quarter of the prices is compared with all of them."""

PR_SET_PDEATHSIG = 1
DIED = 70


def answer(question: dict[str, Any], seed: int, now: float) -> dict[str, Any]:
    """Return the model's answer, a function of question and seed."""
    chance = random.Random(f"{seed} {question['symbol']} {question['at']}")  # noqa: S311 - no secret
    strength = momentum([float(price) for price in question["prices"]])
    strength += chance.gauss(0, NOISE)
    return {
        "id": question["id"],
        "symbol": question["symbol"],
        "target": "long" if strength > 0 else "flat",
        "confidence": round(1 / (1 + math.exp(-min(abs(strength), 50.0))), 4),
        "horizon_seconds": HORIZON_SECONDS,
        "at": now,
    }


def momentum(prices: Sequence[float]) -> float:
    """Return how far the latest prices are above all of them, in standard deviations."""
    mean = sum(prices) / len(prices)
    latest = prices[-max(1, len(prices) // FASTER) :]
    noise = math.sqrt(sum((price - mean) ** 2 for price in prices) / len(prices))
    return (sum(latest) / len(latest) - mean) / noise if noise else 0.0


def spoil(reply: dict[str, Any], fault: ModelFault | None, seconds: float) -> str:
    """Return the line to write, changed by the injected fault."""
    if fault is ModelFault.SLOW:
        time.sleep(seconds)
    elif fault is ModelFault.HANG:
        while True:
            time.sleep(60)
    elif fault is ModelFault.CRASH:
        os._exit(DIED)
    elif fault is ModelFault.GARBAGE:
        return "Traceback (most recent call last):"
    changes: dict[ModelFault | None, dict[str, Any]] = {
        ModelFault.NOT_A_NUMBER: {"confidence": math.nan},
        ModelFault.OUT_OF_RANGE: {"confidence": 17.0},
        ModelFault.STALE: {"at": reply["at"] - 3600},
        ModelFault.WRONG_SYMBOL: {"symbol": "XXX/YYY"},
    }
    return json.dumps(reply | changes.get(fault, {}))


def main(folder: Path, seed: int, parent: int) -> None:
    """Answer until the input or the bot ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    if os.getppid() != parent:
        return  # the bot died before that call
    chance = random.Random(seed)  # noqa: S311 - no secret
    for line in sys.stdin:
        time.sleep(chance.uniform(*LATENCY_SECONDS))
        reply = answer(json.loads(line), seed, clock.timestamp())
        sys.stdout.write(spoil(reply, *read_fault(folder)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bot, which stops this process
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
