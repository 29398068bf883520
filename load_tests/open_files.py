"""The limit on open files: a call has sockets at both ends."""

import resource

_A_CALL = 4
_SPARE = 200


def allow_open_files(calls: int) -> None:
    """Raise the soft limit as far as ``calls`` need and the hard limit lets; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = calls * _A_CALL + _SPARE
    if soft != resource.RLIM_INFINITY and soft < needed:
        ceiling = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, ceiling), hard))
