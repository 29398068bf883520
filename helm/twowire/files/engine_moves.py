"""Liveness of a worker: fails when its process is to be started anew, or its engine has work and makes no progress."""

import http.client
import sys

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 9464


def asked(path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=3)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read(200).decode()


health, text = asked("/healthz")
if health == 200:
    _, text = asked("/readyz")  # "engine …" is the engine's fault; draining and a bus that is away are not
if health != 200 or text.startswith("engine"):
    sys.exit(text)
