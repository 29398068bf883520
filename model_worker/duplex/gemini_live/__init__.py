"""Gemini Live: sound in, sound out, turns that the server finds."""
