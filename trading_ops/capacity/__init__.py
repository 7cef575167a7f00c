"""Capacity planning: what each resource uses, how it grows, and when it runs out."""
