"""Every metric as data, one file a topic; `catalogue` puts them together."""
