"""paper/venue."""
