"""Steps and whole paths of diffusers' schedulers on seeded images, with a stand-in for the network's output.

python -m tests.goldens.make_schedulers    # needs torch and diffusers
"""

from unittest import mock

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    ScoreSdeVeScheduler,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.deprecated.scheduling_sde_vp import ScoreSdeVpScheduler

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

# Paths of SHORT steps, each from the seeded images times the scheduler's prior, with the noise 0.3 flip(x) + 0.1.
SHORT = 10
PATHS = {
    "euler": EulerDiscreteScheduler(timestep_spacing="linspace"),
    "heun": HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, timestep_spacing="linspace"),
    "dpm_solver": DPMSolverMultistepScheduler(timestep_spacing="trailing", final_sigmas_type="zero"),
    "unipc": UniPCMultistepScheduler(timestep_spacing="trailing"),
    "flow": FlowMatchEulerDiscreteScheduler(),
}


def output_of(x):
    return 0.3 * torch.flip(x, (1, 2, 3)) + 0.1


def path(name, scheduler, x):
    """All that `scheduler` makes of x, one after another: [steps, B, ...]."""
    scheduler.set_timesteps(SHORT)
    x, found = x * getattr(scheduler, "init_noise_sigma", 1.0), []
    for time in scheduler.timesteps:
        read = x if name == "flow" else scheduler.scale_model_input(x, time)
        x = scheduler.step(output_of(read), time, x).prev_sample
        found.append(x.numpy())
    return np.stack(found)


VE, VP = (f"diffusers.schedulers.{name}" for name in ("scheduling_sde_ve", "deprecated.scheduling_sde_vp"))


def score_paths(x):
    """One example at a time, since the corrector's step size is that of the batch."""
    noise, parts = torch.flip(x, (1,)), {"score_ve": [], "score_vp": []}
    ve = ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=50.0)
    ve.set_timesteps(SHORT)
    ve.set_sigmas(SHORT)
    vp = ScoreSdeVpScheduler()
    vp.set_timesteps(SHORT)
    for own, drawn in zip(x.split(1), noise.split(1), strict=True):
        fixed = lambda *args, drawn=drawn, **kwargs: drawn
        with mock.patch(f"{VE}.randn_tensor", fixed), mock.patch(f"{VP}.randn_tensor", fixed):
            found, y = [], own * 50.0
            for place, time in enumerate(ve.timesteps):
                sigma = ve.sigmas[place]
                y = ve.step_correct(-output_of(y / (1 + sigma)) / sigma, y).prev_sample
                y = ve.step_pred(-output_of(y / (1 + sigma)) / sigma, time, y).prev_sample
                found.append(y.numpy())
            parts["score_ve"].append(np.concatenate(found))
            found, y = [], own
            for time in vp.timesteps:
                y, _ = vp.step_pred(output_of(y), y, time)
                found.append(y.numpy())
            parts["score_vp"].append(np.concatenate(found))
    return {name: np.stack(values, 1) for name, values in parts.items()}


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
    arrays |= {name: path(name, scheduler, x) for name, scheduler in PATHS.items()}
    arrays["flow_sigmas"] = PATHS["flow"].sigmas.numpy()
    arrays |= score_paths(x)
    np.savez_compressed(HERE / "schedulers.npz", **arrays)


if __name__ == "__main__":
    main()
