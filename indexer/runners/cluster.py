"""Connect to a Ray cluster, or start a private one on this machine, always with a token.

Anyone who reaches a cluster without a token can run any code on its machines as its user, so such a cluster is refused.
The token is Ray's: the variable RAY_AUTH_TOKEN, the file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token. It is
never on a command line, in an index, or in a message.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.cpu import processors
from imindex.indexer.system.scratch import scratch_folder

PRIVATE_ADDRESS = "127.0.0.2"
"""Of the node of a private cluster. Ray rewrites 127.0.0.1, and then hangs."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_worker_niceness": "0",  # of a private cluster; Ray's 15 leaves too little between encoding and decoding
}
_TOKEN_NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_CHECK_SECONDS = 60
_LONGEST_FOLDER = 14
"""Characters of the folder for temporary files: Ray puts sockets far below it."""
_OPEN_CHECK = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1]).internal_kv_get(b"session_name", b"session", timeout=20)
except AuthenticationError:
    print("needs a token")
except Exception as error:
    print("no answer", type(error).__name__)
else:
    print("open")
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes
    ----------
    ray : module
        Ray.
    address : str
        Of its head: `HOST:PORT`.
    private : bool
        Whether this process started it.
    """

    ray: Any
    address: str
    private: bool

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the nodes that are alive, as `ray.nodes` describes them."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def gpus(self) -> int:
        """Return the number of GPUs of the cluster."""
        return int(sum(node["Resources"].get("GPU", 0) for node in self.nodes()))


@contextlib.contextmanager
def connect(
    address: str | None = None,
    token: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    memory: int | None = None,
) -> Iterator[Cluster]:
    """Connect this process to a cluster for the duration of a block; without an address, start a private one.

    Parameters
    ----------
    address : str, optional
        `HOST:PORT` of the head of a running cluster. This process has to run on one of its nodes.
    token : str, optional
        The token of the cluster. By default, Ray finds it (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token). A
        private cluster gets a token of its own, which nobody else knows.
    cpus, gpus : int, optional
        Processors and GPUs of a private cluster; by default, all of this machine.
    memory : int, optional
        Memory of a private cluster's object store, in bytes; by default 1 GiB, or what Ray sees fit if that is less.

    Raises
    ------
    ImindexError
        Ray is not installed, the cluster cannot be reached, it needs no token, or the token is not its own.
    """
    if address is not None and not re.fullmatch(r"[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}", address):
        raise ImindexError(
            f"--address {address!r} is not HOST:PORT of the head of a Ray cluster, such as 10.0.0.1:6379. "
            "Drop it to use this machine alone."
        )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("imindex-ray-", _LONGEST_FOLDER, b"ray"))
        settings = dict(_SETTINGS)
        if token is None and address is None:
            token = secrets.token_hex(32)
        if token is not None:
            write_file(folder / "token", token.encode())
            (folder / "token").chmod(0o600)
            settings["RAY_AUTH_TOKEN_PATH"] = str(folder / "token")
        stack.enter_context(_environment(settings, () if token is None else ("RAY_AUTH_TOKEN",)))
        ray = _import_ray()
        if ray.is_initialized():
            raise ImindexError(
                "This process is connected to a Ray cluster already. Disconnect it: ray.shutdown()."
            )
        _refresh()
        arguments: Mapping[str, object]
        if address is None:
            arguments = {
                "num_cpus": cpus or processors(),
                "num_gpus": gpus,
                "object_store_memory": memory or _store_memory(),
                "_temp_dir": str(folder / "r"),  # Ray opens it to everybody; the folder around it does not
                "_node_ip_address": PRIVATE_ADDRESS,
            }
        else:
            _refuse_without_token(address)
            arguments = {"address": address, **_loopback(address.rpartition(":")[0])}
        stack.callback(_disconnect, ray)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(
                include_dashboard=False if address is None else None,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.ERROR,
                namespace=f"imindex-{secrets.token_hex(8)}",
                **arguments,
            )
            _take_back_signals(handlers)
        except Exception as error:
            where = f"the Ray cluster at {address}" if address else "a private Ray cluster on this machine"
            raise ImindexError(
                f"Cannot reach {where}: {_first_line(error)} {_remedy(address, error)}"
            ) from error
        yield Cluster(ray, address or ray.get_runtime_context().gcs_address, address is None)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImindexError(
            "Ray is not installed, which --on ray needs. Install it with `pip install 'imindex[ray]'`."
        ) from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    return ray


def _refresh() -> None:
    """Let Ray read its settings again, in case it was imported before they were set."""
    from ray import _raylet

    raylet: Any = _raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def _refuse_without_token(address: str) -> None:
    """Refuse a cluster that answers without a token, and a missing token.

    Raises
    ------
    ImindexError
    """
    from ray import _raylet

    raylet: Any = _raylet
    if not raylet.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
        raise ImindexError(
            f"No token for the Ray cluster at {address}. Put it into a file that RAY_AUTH_TOKEN_PATH names, or into "
            "~/.ray/auth_token; never on a command line."
        )
    without = {name: value for name, value in os.environ.items() if name not in _TOKEN_NAMES}
    reply = _asked(address, {**without, "RAY_AUTH_MODE": "disabled"})
    if "open" in reply:
        raise ImindexError(
            f"The Ray cluster at {address} needs no token, so everybody who reaches it can run code on its machines. "
            "Start it with RAY_AUTH_MODE=token on every node (docs/cluster.md)."
        )
    if "needs a token" not in reply:
        raise ImindexError(
            f"The Ray cluster at {address} does not answer. Check the address, and that it runs."
        )
    if "needs a token" in _asked(address, dict(os.environ)):
        raise ImindexError(
            f"The Ray cluster at {address} refuses the token. Check that the token is that of the cluster "
            "(RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token)."
        )


def _asked(address: str, environment: Mapping[str, str]) -> str:
    """Return what a cluster answers to a process with these variables, which keeps Ray's own lines to itself."""
    try:
        return subprocess.run(
            [sys.executable, "-I", "-c", _OPEN_CHECK, address],
            env=dict(environment),
            capture_output=True,
            timeout=_CHECK_SECONDS,
            check=False,
        ).stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return "no answer"


def _remedy(address: str | None, error: BaseException) -> str:
    if "uth" in type(error).__name__ or "token" in str(error):
        return "Check that the token is that of the cluster (RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token)."
    if address:
        return "Check the address, and run this command on a machine that is a node of the cluster (`ray start`)."
    return "Check the free memory and the space in /dev/shm."


def _take_back_signals(handlers: Mapping[Any, Any]) -> None:
    """Restore the handlers of this process, which Ray replaces: Ctrl-C and SIGTERM end a command in an orderly way."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)


def _loopback(host: str) -> Mapping[str, str]:
    """Return the node of a driver of a cluster that runs on loopback, which is its head."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return {"_node_ip_address": host}
    return {}


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    line = text[0][:300] if text else type(error).__name__
    return line if line.endswith(".") else line + "."


def _store_memory() -> int:
    """Return the memory of a private object store: 1 GiB, or a third of /dev/shm if that is less."""
    with contextlib.suppress(OSError):
        return max(80 * 2**20, min(2**30, shutil.disk_usage("/dev/shm").free // 3))
    return 2**30


@contextlib.contextmanager
def _environment(settings: Mapping[str, str], without: tuple[str, ...]) -> Iterator[None]:
    """Set environment variables during a block; the processes that Ray starts inherit them."""
    before = {name: os.environ.get(name) for name in (*settings, *without)}
    os.environ.update(settings)
    for name in without:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _disconnect(ray: Any) -> None:
    with contextlib.suppress(Exception):
        ray.shutdown()
