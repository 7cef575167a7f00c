"""The drills on two generations of Prometheus and Alertmanager."""
