"""How many bytes an object holds, with all that it alone keeps alive."""

import gc
import sys
from types import FunctionType, ModuleType


def footprint_bytes(root: object) -> int:
    """Sum of ``sys.getsizeof`` over everything reachable from ``root``, code and modules left out."""
    seen: set[int] = set()
    total = 0
    stack = [root]
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, type | ModuleType | FunctionType):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        stack.extend(gc.get_referents(item))
    return total
