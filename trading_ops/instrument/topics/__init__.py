"""One file per metric topic: the definitions, and the methods that record them."""
