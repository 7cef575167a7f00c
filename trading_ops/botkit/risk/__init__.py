"""Risk limits: checked before each order, and watched between orders."""
