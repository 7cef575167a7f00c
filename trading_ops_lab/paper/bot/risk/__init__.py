"""Risk: limits before every order and between orders, and what covers an open position."""
