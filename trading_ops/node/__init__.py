"""The node process, one per host: executes the reconciler's requests for services.

It acts only on the services that `targets.yml` assigns to it, through systemd, Docker or fixed
commands.
"""
