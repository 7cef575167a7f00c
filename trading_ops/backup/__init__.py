"""Backups: what is in one, where it is stored, and the proof that it can be restored.

`create` captures databases and files into a staging folder, describes them in a `manifest` and
stores both in a repository (`folder` or `restic`). `verify` reads a backup back and restores it
into a scratch folder; `restore` is what an operator uses; `retention` decides what `prune` removes.
`records` is what this machine knows about its backups; the reconciler reads it.
"""
