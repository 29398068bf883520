"""Audio-Interaction with its decoder on vLLM, whose scheduler and cache take the place of ours."""
