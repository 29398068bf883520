"""The model worker: serves calls with a duplex engine, many calls in one step."""
