"""The weather of a soak: faults that come and go, and money that comes and goes, by a seed."""

import asyncio
import random
from collections import Counter
from typing import Any

from tests.crash.bot_venue import BotVenue

PAUSE_SECONDS = (2.0, 20.0)
"""From the beginning of one fault to that of the next: two may be there at once."""

FAULT_SECONDS = (1.0, 20.0)
MONEY_SECONDS = (20.0, 90.0)
MOST_CENTS = 5_000

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "refuse"},
    {"kind": "reset", "probability": 0.2},
    {"kind": "hang", "probability": 0.2},
    {"kind": "slow", "delay_seconds": 1.0, "probability": 0.3},
    {"kind": "slow", "delay_seconds": 4.0, "methods": ["AddOrder"], "probability": 0.5},
    {"kind": "http_5xx", "probability": 0.3},
    {"kind": "http_429", "probability": 0.2},
    {"kind": "api_error", "probability": 0.2},
    {"kind": "nonce", "probability": 0.2},
    {"kind": "lost_answer", "methods": ["AddOrder"], "probability": 0.5},
    {"kind": "lost_answer", "probability": 0.1},
    {"kind": "rate_limit", "tier": "starter"},
    {"kind": "balance", "where": "rest"},
    {"kind": "balance", "where": "websocket"},
    {"kind": "balance", "where": "both"},
    {"kind": "maintenance", "status": "maintenance"},
    {"kind": "maintenance", "status": "cancel_only"},
    {"kind": "maintenance", "status": "post_only"},
    {"kind": "pair_status", "pair": "BTC/USD", "status": "cancel_only"},
    {"kind": "price_jump", "pair": "BTC/USD", "percent": -2},
    {"kind": "price_jump", "pair": "ETH/USD", "percent": 2},
    {"kind": "wrong_clock", "offset_seconds": 20},
    {"kind": "wrong_clock", "offset_seconds": -20},
    {"kind": "stale_feed"},
    {"kind": "gapped_feed", "probability": 0.2},
    {"kind": "fill_twice", "probability": 0.5},
    {"kind": "fill_late", "delay_seconds": 5.0, "probability": 0.5},
    {"kind": "partial_cancel", "probability": 0.5},
    {"kind": "disconnect"},
)
"""Clocks are wrong by less than the five minutes of history that each comparison reads again."""

LASTING = "disconnect"
"""It ends by a new session and not by time."""


class SoakFaults:
    """Begins faults and moves money until it is cancelled."""

    def __init__(self, world: BotVenue, seed: int) -> None:
        """Take the venue; what comes when is fixed by the seed."""
        self.faults: Counter[str] = Counter()
        self.transfers = 0
        self._world = world
        self._faults, self._money = random.Random(seed), random.Random(seed + 1)

    async def break_things(self) -> None:
        """Begin one fault after another."""
        while True:
            await asyncio.sleep(self._faults.uniform(*PAUSE_SECONDS))
            fault = dict(self._faults.choice(FAULTS))
            seconds = self._faults.uniform(*FAULT_SECONDS)
            if fault["kind"] != LASTING:
                fault["seconds"] = seconds
            await self._world.break_({**fault, "seed": self._faults.randrange(1 << 30)})
            self.faults[fault["kind"]] += 1

    async def move_money(self) -> None:
        """Pay something in, or out."""
        while True:
            await asyncio.sleep(self._money.uniform(*MONEY_SECONDS))
            await self._world.deposit(
                self._money.choice((-1, 1)) * self._money.randint(1, MOST_CENTS)
            )
            self.transfers += 1
