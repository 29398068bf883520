"""Moshi and PersonaPlex on a server of theirs: one stream in, one stream out, 80 ms at a time."""
