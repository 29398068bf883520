"""The bus between gateways and workers: its seam, an in-process carrier, and Redis Streams.

The one part of ``wire`` that does I/O; the pure floors of both sides never import it
(import contract "the pure floors stay pure").
"""
