"""Answers of a chat model, against a server of ours that checks what it is asked and misbehaves on demand."""
