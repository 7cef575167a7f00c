"""Nonces of one key: strictly increasing, whatever dies or goes back."""
