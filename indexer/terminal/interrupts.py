"""Ctrl-C and SIGTERM, from the first line of the program to its last.

The first signal raises KeyboardInterrupt in the main thread, which ends the command in an orderly way. Compiled code
may not return for a long time, and libraries may swallow the exception. A thread that the operating system wakes
therefore ends the process after `PATIENCE` seconds, or at the second signal. That is safe, because files are written so
that they survive a power cut. Before a command has begun, nothing needs to be put in order: the process ends at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

PATIENCE = 30.0
"""Seconds that a command has to stop after the first signal."""
_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_SWALLOWED_AFTER = 0.05


def nothing_changed() -> str:
    """Return what an interrupted command says by default."""
    return "Stopped. Nothing was changed. Run the same command again."


class Interrupts:
    """The signals that this process has received.

    Attributes
    ----------
    received : int
        The first of SIGINT and SIGTERM that arrived; 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self.installed = False
        self._begun = self._ended = False
        self._message: Callable[[], str] = nothing_changed
        self._own_signals = 0

    def install(self) -> None:
        """Handle SIGINT and SIGTERM in this process. A signal that is ignored, as in a shell's `&`, stays ignored."""
        handled = [
            number
            for number in _NUMBERS
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
        ]
        for number in handled:
            signal.signal(number, self._handle)
        self.installed = True
        sys.unraisablehook = self._unraisable
        threading.excepthook = self._in_thread
        if hasattr(os, "set_blocking") and handled:
            self._watch()

    @contextlib.contextmanager
    def command(self, message: Callable[[], str]) -> Iterator[None]:
        """Surround a command; `message` says what an interruption leaves. Commands may be nested."""
        outer, self._message = self._message, message
        outermost, self._begun = not self._begun, True
        try:
            yield
        finally:
            self._message = outer
            if outermost and self.installed:
                self.end()
            self._begun = not outermost

    def end(self) -> None:
        """Ignore both signals from now on: the result is out, and the interpreter is about to end."""
        self._ended = True
        for number in _NUMBERS:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, signal.SIG_IGN)

    def stop(self, code: int) -> NoReturn:
        """End an interrupted process without the interpreter's own end, which compiled libraries may disturb."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)

    def _handle(self, number: int, frame: object) -> None:
        if self._ended:
            return
        self.received = self.received or number
        if not self._begun:
            self._end_at_once()
        raise KeyboardInterrupt

    def _watch(self) -> None:
        read, write = os.pipe()
        for descriptor in (read, write):
            os.set_inheritable(descriptor, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

        def watch() -> None:
            while not self._counts(os.read(read, 1)):
                pass
            threading.Thread(target=self._lose_patience, daemon=True).start()
            while not self._counts(os.read(read, 1)):
                pass
            self._end_at_once()

        threading.Thread(target=watch, name="signals", daemon=True).start()

    def _counts(self, received: bytes) -> bool:
        """Whether a byte of the wake-up pipe is a signal from outside that the process handles."""
        if not received:  # the pipe was closed
            threading.Event().wait()
        if received[0] not in _NUMBERS or self._ended:
            return False
        if self._own_signals:
            self._own_signals -= 1
            return False
        self.received = self.received or received[0]
        return True

    def _lose_patience(self) -> None:
        threading.Event().wait(PATIENCE)
        if not self._ended:
            self._end_at_once()

    def _end_at_once(self) -> NoReturn:
        text = f"Error: {self._message()}\n" if self._begun else f"Error: {nothing_changed()}\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))
        os._exit(128 + self.received)

    def _unraisable(self, unraisable: Any) -> None:
        """Repeat an interruption that Python would drop because it happened in a destructor or a callback."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt) and not self._ended:
            timer = threading.Timer(_SWALLOWED_AFTER, self._again)
            timer.daemon = True
            timer.start()
        elif not self.received:
            sys.__unraisablehook__(unraisable)

    def _again(self) -> None:
        self._own_signals += 1
        os.kill(os.getpid(), self.received or signal.SIGINT)

    def _in_thread(self, arguments: Any) -> None:
        if not self.received:  # after an interruption, threads find their queues and pools closed
            threading.__excepthook__(arguments)


INTERRUPTS = Interrupts()
"""Those of this process. Only the command line installs it; Python programs that import imindex keep their handlers."""
