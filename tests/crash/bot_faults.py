"""What the venue does to the bot of a sweep."""

from typing import Any

FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_answer", "methods": ["AddOrder"], "probability": 0.5},
    {"kind": "lost_answer", "probability": 0.1},
    {"kind": "lost_answer", "instead": "EService:Timeout", "methods": ["AddOrder"]},
    {"kind": "lost_answer", "instead": "EGeneral:Unknown error", "probability": 0.2},
    {"kind": "reset", "probability": 0.1},
    {"kind": "http_5xx", "probability": 0.2},
    {"kind": "http_429", "probability": 0.1},
    {"kind": "slow", "delay_seconds": 0.3, "probability": 0.2},
    {"kind": "slow", "delay_seconds": 1.2, "methods": ["AddOrder"], "probability": 0.3},
    {"kind": "nonce", "probability": 0.1},
    {"kind": "api_error", "probability": 0.1},
    {"kind": "balance", "where": "rest", "probability": 0.3},
    {"kind": "hang", "seconds": 0.5},
    {"kind": "refuse", "seconds": 0.5},
    {"kind": "stale_feed", "seconds": 1.0},
    {"kind": "partial_cancel", "probability": 0.5},
    {"kind": "fill_late", "delay_seconds": 0.4, "probability": 0.5},
    {"kind": "fill_twice", "probability": 0.5},
)
