"""``python -m model_worker``: a worker configured by the environment alone, as in its container."""

import asyncio
import sys

from model_worker.app import run_worker
from model_worker.config import load_worker_config
from model_worker.runner import EngineDiedError
from wire.bus.seam import BusUnavailableError
from wire.logs import configure_logs
from wire.settings import ConfigError


def main() -> int:
    """Run until told to stop; the exit code tells a supervisor whether that went well."""
    try:
        config = load_worker_config()
        configure_logs(config.log_level, config.log_format)
        work = run_worker(config)
        if sys.platform == "win32":
            asyncio.run(work)
        else:
            import uvloop

            uvloop.run(work)
    except (ConfigError, BusUnavailableError, EngineDiedError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
