"""Orders from intent to final state: values, checks, the book, and sync with the venue."""
