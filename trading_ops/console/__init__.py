"""The operator console: web pages over the functions and roles of the API, for people on call."""
