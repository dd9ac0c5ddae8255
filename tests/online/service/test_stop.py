"""The first signal asks, the second ends."""

import os
import signal
import subprocess
import sys

from podway.online.service import stop


def test_a_signal_asks_once():
    before = signal.getsignal(signal.SIGTERM)
    with stop.asked() as asked:
        assert not asked.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.wait(5)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_ends_at_once():
    code = (
        "import os, signal, time\n"
        "from podway.online.service import stop\n"
        "with stop.asked():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=50)
    assert done.returncode == -signal.SIGTERM
