"""Clean-up: `rules` finds what an installation no longer needs, `inside` removes it safely."""
