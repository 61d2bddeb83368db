#!/usr/local/bin/python -IS
"""Ends with 0 when this container's service says that it is ready; the slim image has no curl."""

import http.client
import os
import sys

PORTS = {"office": 8002, "character": 8003}

try:
    connection = http.client.HTTPConnection("127.0.0.1", PORTS[os.environ["APP_MODE"]], timeout=4)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    sys.stdout.write(answer.read(500).decode(errors="replace"))
    sys.exit(0 if answer.status == 200 else 1)
except OSError as error:
    sys.exit(f"not answering: {error}")
