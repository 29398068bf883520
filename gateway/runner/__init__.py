"""Drives the pure calls: one ticker for the media of all, a mailbox each for the rest."""
