"""Orders from the wish to the end: what is wanted, planned, sent and held."""
