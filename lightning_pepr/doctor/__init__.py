"""What can be measured on this host, how well, and what to do where it cannot."""

from lightning_pepr.doctor.examination import Examination, examine, to_json
from lightning_pepr.doctor.printing import print_examination

__all__ = ["Examination", "examine", "print_examination", "to_json"]
