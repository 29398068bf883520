"""Words from a chat model: the duplex model decides when to speak, a language model with the business's brief what."""
