"""Checks of an installation, each with its fix: for `trading-ops config check` and `doctor`."""
