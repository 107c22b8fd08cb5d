"""The record of a run: its parts, its file, and how a notebook shows it."""

from lightning_pepr.record.entries import CostEntry as CostEntry
from lightning_pepr.record.entries import DeviceEntry as DeviceEntry
from lightning_pepr.record.entries import Epoch as Epoch
from lightning_pepr.record.entries import Stage as Stage
from lightning_pepr.record.run import SCHEMA as SCHEMA
from lightning_pepr.record.run import RunRecord as RunRecord
from lightning_pepr.record.run import Status as Status
from lightning_pepr.record.run import run_id_in as run_id_in
from lightning_pepr.record.spaces import SPACE_SCHEMA as SPACE_SCHEMA
from lightning_pepr.record.spaces import check_ranges as check_ranges
from lightning_pepr.record.spaces import check_space as check_space
