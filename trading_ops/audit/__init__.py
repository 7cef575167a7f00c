"""The audit log: anchors outside the database, changes of rules and runbooks, and verification.

`checkpoint` writes anchors, `config_watch` records changed configuration, `walk` checks the chain
of events, `diagnosis` finds the kind of tampering, and `report` implements `audit verify`.
"""
