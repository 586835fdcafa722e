"""How a number is read: which direction is better, and in which unit it is shown. Free of jax."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Reading:
    """The meaning of one number, declared where the number is computed.

    Attributes:
      better: "max" or "min"; None where neither direction is better (the score of a discriminator).
      unit: how it is shown: "%", "dB", "nats", "bits/dim", "s", … or "". A number with the unit "%" is a fraction in
        [0, 1] and is multiplied by 100 when it is shown; every other number is shown as it is.
    """

    better: Literal["max", "min"] | None = None
    unit: str = ""

    def score(self, value: float) -> float:
        """`value` turned so that higher is better. Raises ValueError where no direction is."""
        if self.better is None:
            raise ValueError("a number without a direction does not rank")
        return -value if self.better == "min" else value


# Numbers that the train step reports for every task, under train/[PLAYER/]NAME.
STEP = {
    "loss": Reading("min"),
    "gradient_norm": Reading(),
    "update_norm": Reading(),
    "parameter_norm": Reading(),
    "learning_rate": Reading(),
}
