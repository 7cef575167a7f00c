"""The shell around `domain.decide`: it looks, asks what to do, does it, and writes it down.

Read the files in the order in which an alert meets them: `intake` takes the stored notification
apart, `observe` asks Prometheus and Alertmanager what is true, `loop` makes one pass over the open
incidents, `perform` carries a step out, `verify` asks whether it helped, `page_after` shows what a
person must take. `recover` finishes what a crash interrupted. `runbooks` reads the plans.
"""
