"""What holds for all tests."""

from hypothesis import settings

# A machine that does other things, too, is slow: that fails no test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
