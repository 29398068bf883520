"""`helm test`: the gateway is alive and takes calls, and refuses a webhook that nobody signed."""

import http.client
import sys

HOST, PORT = sys.argv[1], int(sys.argv[2])


def asked(method: str, path: str) -> int:
    connection = http.client.HTTPConnection(HOST, PORT, timeout=10)
    connection.request(method, path, headers={"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


for method, path, expected in (("GET", "/healthz", 200), ("GET", "/readyz", 200), ("POST", "/twilio/voice", 403)):
    status = asked(method, path)
    print(method, path, status)
    if status != expected:
        sys.exit(f"{method} {path}: expected {expected}, got {status}")
