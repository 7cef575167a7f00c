"""What the boards show: one module for each board, and one for each long row of its own."""

from grafana.boards.board import Board
from grafana.boards.content.bot import BOT
from grafana.boards.content.capacity import CAPACITY
from grafana.boards.content.databases import DATABASES
from grafana.boards.content.host import HOST
from grafana.boards.content.overview import OVERVIEW
from grafana.boards.content.recovery import RECOVERY
from grafana.boards.content.slo import SLO
from grafana.boards.content.trading import TRADING
from grafana.boards.content.venue import VENUE

BOARDS: tuple[Board, ...] = (
    OVERVIEW,
    BOT,
    TRADING,
    VENUE,
    RECOVERY,
    HOST,
    DATABASES,
    SLO,
    CAPACITY,
)
"""All dashboards, the most important first; the file name is `<last part of the uid>.json`."""
