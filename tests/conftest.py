"""What holds for all tests."""

import os
import signal

from hypothesis import settings

# A machine that does other things, too, is slow: that fails no test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Several tests run at once, each with one core; what they start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started in the background the tests, and all that they start, would ignore Ctrl-C, of which some tests are.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
