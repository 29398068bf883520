"""The Audio-Interaction model (arXiv 2606.05121): one network that listens, decides and writes what it says."""
