"""Tables of runs, true and spoilt, as the benchmark of the audit makes them."""

from __future__ import annotations

from benchmarks.made_up_tables import copy_reading as copy_reading
from benchmarks.made_up_tables import make_clean as make_clean
from benchmarks.made_up_tables import put as put
from benchmarks.made_up_tables import scale as scale
