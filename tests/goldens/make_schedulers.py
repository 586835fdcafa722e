"""Steps of diffusers' DDPM and DDIM schedulers on seeded images, with a stand-in for the network's output.

python -m tests.goldens.make_schedulers    # needs torch and diffusers
"""

from unittest import mock

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from tests.goldens.make_classification import seeded_images
from tests.goldens.record import HERE

STEPS = 50  # of 1000
PLACES = (0, 1, 25, 49)  # in descending time: the first, …, the last

SCHEDULERS = {
    "ancestral": DDPMScheduler(variance_type="fixed_large"),
    "ancestral_small": DDPMScheduler(variance_type="fixed_small"),
    "ancestral_cosine": DDPMScheduler(variance_type="fixed_large", beta_schedule="squaredcos_cap_v2"),
    "ancestral_image": DDPMScheduler(variance_type="fixed_large", prediction_type="sample"),
    "ddim": DDIMScheduler(),
    "ddim_noisy": DDIMScheduler(),
    "ddim_velocity": DDIMScheduler(prediction_type="v_prediction"),
}


def main():
    x = torch.from_numpy(seeded_images(2, 4, 4, 3))
    output, noise = 0.3 * torch.flip(x, (1, 2, 3)) + 0.1, torch.flip(x, (0,))
    arrays = {}
    for name, scheduler in SCHEDULERS.items():
        scheduler.set_timesteps(STEPS)
        arrays["time"] = scheduler.timesteps.numpy()[list(PLACES)]
        options = {}
        if name.startswith("ddim"):
            options = dict(use_clipped_model_output=True, eta=float(name == "ddim_noisy"), variance_noise=noise)
        # The DDPM scheduler draws its noise itself.
        with mock.patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *args, **kwargs: noise):
            steps = [scheduler.step(output, int(time), x, **options).prev_sample for time in arrays["time"]]
        arrays[name] = np.stack([step.numpy() for step in steps])
    np.savez_compressed(HERE / "schedulers.npz", **arrays)


if __name__ == "__main__":
    main()
