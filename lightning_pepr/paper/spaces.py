"""The model spaces of the paper's eight settings, as numbers, and what is known of how they were measured."""

from __future__ import annotations

from dataclasses import dataclass

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

CONDEMNED = (
    "{count} of the {models} models in the paper's {name} share their energy and CO2, to the last digit, with the same "
    "model in another setting, though their training times differ; the mean power that follows is 860 W or more, where "
    "500–590 W is normal. They set the high of {highs}"
)

PARAMS = (1068440.0, 133047848.0)
"""Parameters of the smallest and the largest of the models, in every setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Low and high of the costs of one setting.

    Attributes:
        energy_kwh: Energy of ten epochs, in kWh.
        carbon_g: Its carbon dioxide equivalent, in g.
        memory_gb: Reserved GPU memory, in GB.
        condemned: How many rows have the energy and CO2 of another run: they repeat those of the same model in another
            setting to the last digit, and imply a mean power of 860 to 15,600 W.
        clean_energy_kwh: Energy without these rows; None if there are none. Memory and parameters are the same.
        clean_carbon_g: Carbon without these rows; None if there are none.
    """

    energy_kwh: tuple[float, float]
    carbon_g: tuple[float, float]
    memory_gb: tuple[float, float]
    condemned: int = 0
    clean_energy_kwh: tuple[float, float] | None = None
    clean_carbon_g: tuple[float, float] | None = None

    def ranges(self, clean: bool = False) -> dict[str, tuple[float, float]]:
        """The ranges of a `ModelSpace`; without the condemned rows if `clean`."""
        return {
            "energy_kwh": (self.clean_energy_kwh if clean else None) or self.energy_kwh,
            "carbon_g": (self.clean_carbon_g if clean else None) or self.carbon_g,
            "memory_gb": self.memory_gb,
            "params": PARAMS,
        }


SETTINGS = {
    "derma": Setting(
        energy_kwh=(0.010582911775, 0.255269586556),
        carbon_g=(0.969728960727, 20.868288700937),
        memory_gb=(1.59383552, 22.63875584),
    ),
    "derma_pt": Setting(
        energy_kwh=(0.010745538283, 0.254142283589),
        carbon_g=(0.591004605559, 17.026740925141),
        memory_gb=(1.59383552, 22.63875584),
    ),
    "derma_small": Setting(
        energy_kwh=(0.001902473153, 0.254273607874),
        carbon_g=(0.28537097288, 20.850435845677),
        memory_gb=(1.59383552, 22.63875584),
        condemned=78,
        clean_energy_kwh=(0.001902473153, 0.030136924003),
        clean_carbon_g=(0.28537097288, 4.008210892428),
    ),
    "derma_smallest": Setting(
        energy_kwh=(0.000462473936, 0.254273607874),
        carbon_g=(0.038616573696, 20.850435845677),
        memory_gb=(1.612709888, 22.63875584),
        condemned=72,
        clean_energy_kwh=(0.000462473936, 0.01491612714),
        clean_carbon_g=(0.038616573696, 6.458291613938),
    ),
    "lidc": Setting(
        energy_kwh=(0.012287478415, 0.333975025949),
        carbon_g=(0.718817487286, 32.284252508359),
        memory_gb=(1.579155456, 22.861053952),
    ),
    "lidc_small": Setting(
        energy_kwh=(0.001503083673, 0.254273607874),
        carbon_g=(0.221704841743, 20.850435845677),
        memory_gb=(1.568669696, 22.655533056),
        condemned=70,
        clean_energy_kwh=(0.001503083673, 0.042491347299),
        clean_carbon_g=(0.221704841743, 5.077716002259),
    ),
    "pneumonia": Setting(
        energy_kwh=(0.005593791909, 0.163470332261),
        carbon_g=(0.240533052091, 9.857830318505),
        memory_gb=(1.577058304, 22.718447616),
        condemned=51,
        clean_energy_kwh=(0.005593791909, 0.163470332261),
        clean_carbon_g=(0.240533052091, 6.988356704151),
    ),
    "pneumonia_small": Setting(
        energy_kwh=(0.00049027068, 0.153429265658),
        carbon_g=(0.025003804702, 9.857830318505),
        memory_gb=(1.568669696, 22.655533056),
        condemned=35,
        clean_energy_kwh=(0.00049027068, 0.021368037065),
        clean_carbon_g=(0.025003804702, 7.037225105818),
    ),
}
"""The paper's settings by name: DermaMNIST from scratch (derma), pretrained (derma_pt) and with less training data
(derma_small, derma_smallest); lung nodules of LIDC-IDRI (lidc) and chest X-rays (pneumonia), each also with less."""
