"""What a runbook's step can do: one file an action, each with `perform` and `probe`.

An action knows what it needs only by Protocol (`base`); `app` wires the real clients in. An action
is found by its name in `registry`, never by anything that an alert says.
"""
