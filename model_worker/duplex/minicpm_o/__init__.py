"""MiniCPM-o 4.5 (arXiv 2604.27393) on the servers that speak for it."""
