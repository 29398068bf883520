"""Engines that are a server's: one session on it for each call, behind the engine seam."""
