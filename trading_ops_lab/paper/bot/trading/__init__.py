"""The strategy, the plan of each pass, and the orders component."""
