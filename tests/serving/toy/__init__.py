"""A server that is real in all but its networks, which are tiny and predictable."""
