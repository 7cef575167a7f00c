"""The source of the Grafana dashboards: `python -m grafana.boards` writes them as JSON.

`panels` defines the panel types, `content` has one module for each dashboard. `selectors` adds the
variables to queries, `looks` and `layout` set the style and position of panels, `board` what all
dashboards share. `queries` and `proof` read the committed JSON, run its queries against a
Prometheus, and need no SDK.
"""
