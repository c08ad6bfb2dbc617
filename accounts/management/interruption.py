"""Ctrl-C, at a moment when nothing is half done."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Self


class Interruption:
    """Holds Ctrl-C and SIGTERM back: ``requested`` is to be looked at between two batches.

    The second one interrupts at once.
    """

    requested = False

    def __enter__(self) -> Self:
        # Only the main thread may say what a signal does; elsewhere none arrives.
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._request)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        else:
            self._before = {}
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
