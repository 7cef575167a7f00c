"""Backups: their content, their storage, and the tests that they can be restored.

`create` captures databases and files into a staging folder, describes them in a `manifest` and
stores both in a repository (`folder` or `restic`). `verify` reads a backup back and restores it
into a scratch folder; `restore` serves operators; `retention` decides which backups `prune`
removes. `records` has the state of this machine's backups; the reconciler reads it.
"""
