"""Colors of series with the same meaning on every board, by name suffix."""

from grafana.boards.panels import BLUE, GREEN, PURPLE, RED, YELLOW

OF_ORDERS = {
    "filled$": GREEN,
    "cancelled$": BLUE,
    "expired$": PURPLE,
    "denied$": YELLOW,
    "rejected$": RED,
}

OF_LEVELS = {
    "debug$": "gray",
    "info$": BLUE,
    "warning$": YELLOW,
    "error$": "orange",
    "critical$": RED,
}

OF_CODES = {
    "ok$": GREEN,
    "refused$": BLUE,
    "rate_limited$": YELLOW,
    "timeout$": "orange",
    "unavailable$": "light-red",
    "unreachable$": RED,
    "invalid_nonce$": PURPLE,
    "unauthorized$": "dark-red",
}

OF_ATTEMPTS = {
    " (succeeded|verified|completed)$": GREEN,
    " (unknown|unverified)$": YELLOW,
    " failed$": RED,
    " abandoned$": BLUE,
}

OF_NOTIFICATIONS = {"stored$": GREEN, "refused$": YELLOW, "quarantined$": RED, "ignored$": YELLOW}

OF_SIGNALS = {"ok$": GREEN, "skipped$": BLUE, "timeout$": YELLOW, "(failed|invalid)$": RED}

OF_COMPARISONS = {"clean$": GREEN, "corrected$": BLUE, "drifted$": RED, "failed$": YELLOW}
