"""What `trading-ops security` looks at on this host: packages, secrets and certificates."""
