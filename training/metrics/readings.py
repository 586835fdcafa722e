"""How a number is read: which direction is better, its unit, and how it is drawn. Free of jax."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Reading:
    """The meaning of one number, or of each entry of one array, declared where they are computed.

    Attributes:
      better: "max" or "min"; None where neither direction is better (the score of a discriminator).
      unit: how it is shown: "%", "dB", "nats", "bits/dim", "s", … or "". A number with the unit "%" is a fraction in
        [0, 1] and is multiplied by 100 when it is shown; every other number is shown as it is.
      each: the name is that of an array [K] (`per_class_accuracy`), and the reading that of each entry. An array is
        shown by its range and ranks nothing.
      panel: the panel of the curves in which it is drawn; "": one of its own name; None: it is not drawn.
      line: its line in the panel; "": the line has the name of the evaluation set. Numbers of one set that share a
        panel need one.
      scale: of the panel's axis; "log" of one of its numbers is enough. It is used where the values are positive and
        spread over more than a factor of 10.
    """

    better: Literal["max", "min"] | None = None
    unit: str = ""
    each: bool = False
    panel: str | None = ""
    line: str = ""
    scale: Literal["linear", "log"] = "linear"

    def score(self, value: float) -> float:
        """`value` with the sign that makes higher better. Raises ValueError where neither direction is better."""
        if self.better is None:
            raise ValueError("a number without a direction does not rank")
        return -value if self.better == "min" else value


# Numbers that the train step reports for every task, under train/[PLAYER/]NAME.
STEP = {
    "loss": Reading("min", scale="log"),
    "gradient_norm": Reading(panel="norms", line="gradient", scale="log"),
    "update_norm": Reading(panel="norms", line="update", scale="log"),
    "parameter_norm": Reading(panel="norms", line="parameter", scale="log"),
    "learning_rate": Reading(),
}

# Numbers about the run itself.
RUN = {
    "time/utilisation": Reading("max", "%", panel=None),
    "time/wait_share": Reading("min", "%", panel=None),
    "memory/peak_mb": Reading("min", "MB", panel=None),
}
