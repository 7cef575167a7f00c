"""Reports and consistency checks. Nothing here changes the system."""
