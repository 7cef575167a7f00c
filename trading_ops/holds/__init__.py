"""Holds on bots, and the monitor that places them when a bot becomes unresponsive.

`agent_monitor` probes each bot's agent every second and `agent_probe` judges the evidence; `holds`
places and releases holds, `memory` keeps them available while the database is down, `delivery`
sends them to the agents, and `sync` keeps a bot and the database in agreement. `suppression` says
when operators have turned automation off.
"""
