"""`trading-ops doctor`: checks tools, configuration, processes and every connection."""
