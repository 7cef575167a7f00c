"""The source of the Grafana boards: `python -m grafana.boards` writes them as JSON.

`panels` are the words in which a row is written, `content` is what has been written in them: one
module for each board. `selectors` adds the variables to queries, `looks` and `layout` make panels
and their places, `board` what all boards have in common. `queries` and `proof` read the committed
JSON, put its queries to a Prometheus, and need no SDK.
"""
