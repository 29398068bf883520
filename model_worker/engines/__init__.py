"""Every engine by its name: what it is, and how it is made from the configuration."""
