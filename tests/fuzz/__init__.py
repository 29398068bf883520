"""Fuzzing the parsers of what strangers send: ``python -m tests.fuzz sip --inputs 1000000``."""
