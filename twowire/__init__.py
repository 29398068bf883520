"""The command line of twowire, and the caller it tests with. Stands above both sides."""

import os

# Products of a filter and a chunk: small, many, and spread over all cores they cost ten times as much as on one.
# To be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
