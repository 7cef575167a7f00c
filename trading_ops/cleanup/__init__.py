"""Clean-up: `rules` finds files that are no longer needed, `inside` removes them safely."""
