"""The adapter for Kraken and the paper venue, and the private feed of orders and balances."""
