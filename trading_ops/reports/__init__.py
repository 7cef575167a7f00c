"""Read-only reports: what fits together, and how it went. Nothing here acts."""
