"""The project folder: the configuration that the package ships, written and updated in place.

`files/` are links to the one committed copy of rules, runbooks, boards and units; a wheel holds
their content. `production/` holds what only an installation has.
"""
