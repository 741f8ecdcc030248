"""Ctrl-C is heard even where a library swallowed it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from lift3d_ray.batch.interrupts import remembered_interrupts


def test_a_swallowed_interrupt_is_raised_again_and_the_handler_goes_back() -> None:
    with remembered_interrupts() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_nothing_changes() -> None:
    handlers = []

    def run() -> None:
        with remembered_interrupts() as check:
            check()
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
