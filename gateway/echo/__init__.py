"""The agent's own voice, coming back from the caller's telephone."""
