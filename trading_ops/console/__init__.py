"""The operator console: web pages on top of the API's functions and roles, for on-call."""
