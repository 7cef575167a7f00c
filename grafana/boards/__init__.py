"""The source of the Grafana boards: `python -m grafana.boards` writes them as JSON.

`panels` says what a panel is, `layout` puts panels onto Grafana's grid and builds the board with
the SDK, `overview`, `rows` and `recovery_row` are the content. `queries` reads the committed JSON
and needs no SDK.
"""
