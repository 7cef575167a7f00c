"""The actions of runbook steps, each with `perform` and `probe`.

Actions depend on Protocols only (`base`); `app` passes in the real clients. An action is looked up
by name in `registry`, never by the content of an alert.
"""
