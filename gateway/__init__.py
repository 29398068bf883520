"""The gateway: owns every call from the first packet to the last, and lets a worker serve it."""
