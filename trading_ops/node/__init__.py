"""The node process, one for each host: the executor of the reconciler's orders about services.

It acts on the services that `targets.yml` gives to its host, through systemd, Docker or fixed
commands, and on nothing else.
"""
