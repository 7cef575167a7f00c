"""TLS: which files a process shows and trusts, and the contexts that are made of them."""
