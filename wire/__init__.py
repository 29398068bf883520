"""The words a gateway and a model worker share.

Messages and their codec, ids, keys, audio tables, and the two carriers of the
bus. Nothing here knows what a call or a model is; both sides build on it.
"""

__version__ = "0.1.0"
