"""Connections to servers of models, on a thread of their own."""
