"""The project folder: writes and updates the configuration that the package ships.

`files/` links to the committed rules, runbooks, dashboards and units; a wheel contains copies.
`production/` contains files that only an installation has.
"""
