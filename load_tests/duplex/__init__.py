"""How well the agent behaves when the caller sounds over it: measured where the caller is."""
