"""Log files: growth, rotation, and lines by level."""
