"""Sockets: the thin shells between the network and the runner."""
