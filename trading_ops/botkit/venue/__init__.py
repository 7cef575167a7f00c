"""The venue as a protocol: what an adapter offers, and which errors it raises."""
