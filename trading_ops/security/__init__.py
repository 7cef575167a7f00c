"""The checks of `trading-ops security` on this host: packages, secrets and certificates."""
