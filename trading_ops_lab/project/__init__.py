"""The registry of the local stack, for a folder that has none."""
