"""Seeded prices: what one unit of each asset is worth, step by step.

Each asset's logarithm is a mean-reverting random walk, so that prices stay bounded for months. A
step depends only on the seed and the step's number: the same seed gives the same prices, and a
restarted venue continues where it stopped. Pairs between two coins are quotients, so that all pairs
are consistent.
"""

import math
import random
from collections.abc import Iterable
from typing import Final

import msgspec

from trading_ops_lab.paper.venue.pairs import Asset, Pair

VOLATILITY: Final = 2e-4
"""Standard deviation of the logarithm after one second: more volatile than real coins."""

PULL: Final = 1e-5
"""Share of the distance to the start value that is reverted per second."""


class WalkState(msgspec.Struct):
    """The state of a walk."""

    step: int = 0
    offsets: dict[str, float] = msgspec.field(default_factory=dict)
    """Logarithm of value over start, by asset id."""


class Walk:
    """The values of all assets in US dollars."""

    def __init__(self, seed: int, assets: Iterable[Asset], state: WalkState) -> None:
        """Continue from `state`; a new one starts at the assets' start values."""
        self._seed = seed
        self._starts = {asset.id: asset.start for asset in assets}
        self.state = state
        self.jumps: dict[str, tuple[str, float]] = {}
        """Lasting jumps by name: an asset's id, and the offset of its logarithm."""

    def dice(self, purpose: str) -> random.Random:
        """Return this step's own random generator for one purpose."""
        return random.Random(f"{self._seed}/{self.state.step}/{purpose}")  # noqa: S311

    def advance(self, seconds: float) -> None:
        """Go one step, as large as `seconds` allow."""
        self.state.step += 1
        for asset_id, start in self._starts.items():
            if start == 1.0:
                continue  # the dollar is the measure
            shock = self.dice(asset_id).gauss(0.0, VOLATILITY * math.sqrt(seconds))
            offset = self.state.offsets.get(asset_id, 0.0)
            self.state.offsets[asset_id] = offset * (1 - PULL * seconds) + shock

    def jump(self, name: str, asset: Asset, percent: float) -> None:
        """Shift an asset's value until the jump of this name is removed."""
        self.jumps[name] = (asset.id, math.log1p(percent / 100))

    def value(self, asset: Asset) -> float:
        """Return US dollars for one unit."""
        jumped = sum(size for asset_id, size in self.jumps.values() if asset_id == asset.id)
        return asset.start * math.exp(self.state.offsets.get(asset.id, 0.0) + jumped)

    def middle(self, pair: Pair) -> float:
        """Return the pair's fair price, in quote for one unit of base."""
        return self.value(pair.base) / self.value(pair.quote)
