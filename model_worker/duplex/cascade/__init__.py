"""The cascade: a streaming recognizer, a chat model and a voice, and the duplex decisions between them made here.

Not a duplex model: it hears while it speaks because the recognizer goes on meanwhile, and decides by rules when a turn
is over and who has the floor.
"""
