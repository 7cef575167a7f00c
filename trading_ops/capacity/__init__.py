"""Capacity planning: usage, growth and forecast of each resource."""
