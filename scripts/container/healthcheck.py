"""The health check of the container: whether `imindex serve` is ready to answer. Any other command is healthy.

    python healthcheck.py [URL] [COMMAND_LINE]

URL is by default that of port 8000 here, COMMAND_LINE the file with the command line of the container's first process.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path


def main(url: str = "http://127.0.0.1:8000", command_line: str = "/proc/1/cmdline") -> int:
    if b"serve" not in Path(command_line).read_bytes().split(b"\0"):
        return 0
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/readyz", timeout=4) as answer:
            return 0 if answer.status == 200 else 1
    except OSError as error:
        print(f"imindex serve is not ready: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
