"""The audit log: anchors outside the database, changes of rules and runbooks, and verification.

`checkpoint` writes anchors, `config_watch` records changed configuration, `walk` checks the chain
of events, `diagnosis` says what was done to it, and `report` answers `audit verify`.
"""
