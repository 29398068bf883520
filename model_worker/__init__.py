"""The model worker: serves calls with a duplex engine, many calls in one step."""

import os

# Products of a filter and a chunk: small, many, and spread over all cores they cost ten times as much as on one.
# To be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
