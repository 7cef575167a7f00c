"""The composition root: builds the reconciler from its settings and runs it."""
