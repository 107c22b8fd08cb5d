"""The model spaces of the paper's eight settings, as numbers, and what is known of how they were measured."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from lightning_pepr.paper import read_table

PAPER = "Selvan et al., PePR, NLDL 2025, https://doi.org/10.48550/arXiv.2403.12562"
TABLE = "https://github.com/saintslab/PePR"
MODELS = 131

DEVICE = (
    "one NVIDIA GPU with 25.4 GB (the table does not name it); energies are CarbonTracker's, of GPU and CPU, times a "
    "PUE of 1.55–1.59"
)

NOTE = (
    "There is no time_s: the table's train_time is of one epoch, its energy and co2 of all ten. Memory is what torch "
    "had reserved; parameters are those of the models with 1000 classes."
)

REJECTED = (
    "{count} of the {models} models in the paper's {name} share their energy and CO2, to the last digit, with the same "
    "model in another setting, though their training times differ; the mean power that follows is 860 W or more, where "
    "500–590 W is normal. They set the high of {highs}"
)

PARAMS = (1068440.0, 133047848.0)
"""Parameters of the smallest and the largest of the models, in every setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Low and high of the costs of one setting, over ten epochs: in kWh, g CO2e, and GB of reserved GPU memory.

    Attributes:
        rejected: How many rows have the energy and CO2 of another run: they repeat those of the same model in another
            setting to the last digit, and imply a mean power of 860 to 15,600 W. Only the highs are theirs, and those
            that end in `clean` leave them out.
    """

    rejected: int
    energy_low: float
    energy_high: float
    energy_high_clean: float
    carbon_low: float
    carbon_high: float
    carbon_high_clean: float
    memory_low: float
    memory_high: float

    def ranges(self, clean: bool = False) -> dict[str, tuple[float, float]]:
        """The ranges of a `ModelSpace`; without the rejected rows if `clean`."""
        return {
            "energy_kwh": (self.energy_low, self.energy_high_clean if clean else self.energy_high),
            "carbon_g": (self.carbon_low, self.carbon_high_clean if clean else self.carbon_high),
            "memory_gb": (self.memory_low, self.memory_high),
            "params": PARAMS,
        }


SETTINGS = {row.pop("name"): msgspec.convert(row, Setting, strict=False) for row in read_table("spaces.csv")}
"""The paper's settings by name: DermaMNIST from scratch (derma), pretrained (derma_pt) and with less training data
(derma_small, derma_smallest); lung nodules of LIDC-IDRI (lidc) and chest X-rays (pneumonia), each also with less."""
