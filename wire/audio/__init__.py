"""Sound as both sides know it: codecs, G.711 tables, resampling."""
