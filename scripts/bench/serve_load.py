"""Send requests to a server from as many clients as told, in a process of its own: the load of scripts/bench/serve.

    python scripts/bench/serve_load.py HOST PORT REQUESTS.jsonl --clients 8 --seconds 20

Each client sends one request after the other over one connection. A request is a JSON object: method, path, and for a
body its file and content type. Prints the number of answers, errors by status, and the seconds of each as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Send requests to a server.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm", type=float, default=1.0, help="Seconds before the measurement begins.")
    said = parser.parse_args()
    requests = [request_of(json.loads(line), said.host) for line in said.requests.read_text().splitlines()]
    print(json.dumps(asyncio.run(load(said, requests))))


def request_of(told: dict[str, str], host: str) -> bytes:
    body = Path(told["body"]).read_bytes() if "body" in told else b""
    kind = f"Content-Type: {told['type']}\r\n" if body else ""
    length = f"Content-Length: {len(body)}\r\n" if told["method"] == "POST" else ""
    head = f"{told['method']} {told['path']} HTTP/1.1\r\nHost: {host}\r\n{kind}{length}\r\n"
    return head.encode() + body


async def load(said: argparse.Namespace, requests: list[bytes]) -> dict[str, object]:
    seconds: list[float] = []
    statuses: Counter[str] = Counter()
    begin = time.perf_counter() + said.warm
    end = begin + said.seconds

    async def client(number: int) -> None:
        reader = writer = None
        place = number * len(requests) // said.clients
        while (sent := time.perf_counter()) < end:
            if writer is None:
                reader, writer = await asyncio.open_connection(said.host, said.port, limit=2**20)
            writer.write(requests[place % len(requests)])
            place += 1
            try:
                status, stays = await answered(reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                status, stays = "lost", False
            if not stays:
                writer.close()
                writer = None
            if sent >= begin:
                statuses[status] += 1
                if status == "200":
                    seconds.append(time.perf_counter() - sent)

    await asyncio.gather(*(client(number) for number in range(said.clients)))
    return {"span": time.perf_counter() - begin, "statuses": dict(statuses), "seconds": seconds}


async def answered(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """Read an answer; return its status, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.read()
    stays = headers.get("connection", "keep-alive" if "http/1.1" in lines[0] else "close") != "close"
    return lines[0].split()[1], stays


if __name__ == "__main__":
    main()
