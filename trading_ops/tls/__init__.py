"""TLS: certificates, the CA, and SSL contexts."""
