"""Eight processes of diffusion on MNIST by one small network at one budget: which noise is learned best.

    fovea reproduce diffusion_mnist                  # DDPM's linear schedule
    fovea reproduce diffusion_mnist:edm              # also cosine, v, vp, sub-vp, ve, flow
    fovea eval --workdir DIR --config.task.flow_steps=100      # bits/dim by the probability-flow ODE too
    fovea sample --workdir DIR --set sampler=unipc --set steps=10

Network, data, steps and judge are those of ddpm_mnist_small; the sizes differ in the process, the target and the
sampler that goes with them, each with 50 evaluations of the network. They rank by `recognised`, `fd` beside `fd_floor`,
and bits/dim.
"""

from experiments.pages import page

# What all pages of small diffusion on MNIST have: the network, unless it is another one, the data and the budget.
UNET = dict(
    name="ddpm_unet",
    width=16,
    multipliers=(1, 2, 2),
    blocks=1,
    attention=(7,),
    groups=8,
    dropout_rate=0.0,
    conditional=True,
)
DATA = dict(name="tfds:mnist", train="train[:58000]", validation="train[58000:]", scale="symmetric")
BUDGET = dict(
    batch_size=64,
    steps=4_000,
    ema=0.999,
    log_every=100,
    evaluate_every=1_000,
    checkpoint_every=500,
    judge="runs/lenet5_mnist/seed0",
    judge_samples=2_000,
)

# size -> paper, year, and what the task is.
SIZES = {
    "linear": ("Denoising Diffusion Probabilistic Models", 2020, dict(schedule="linear")),
    "cosine": ("Improved Denoising Diffusion Probabilistic Models", 2021, dict(schedule="cosine")),
    "v": (
        "Progressive Distillation for Fast Sampling of Diffusion Models",
        2022,
        dict(schedule="cosine", target="velocity"),
    ),
    "vp": (
        "Score-Based Generative Modeling through Stochastic Differential Equations",
        2021,
        dict(schedule="variance_preserving"),
    ),
    "sub-vp": (
        "Score-Based Generative Modeling through Stochastic Differential Equations",
        2021,
        dict(schedule="sub_variance_preserving"),
    ),
    "ve": (
        "Score-Based Generative Modeling through Stochastic Differential Equations",
        2021,
        dict(schedule="variance_exploding", spacing="karras"),
    ),
    "edm": (
        "Elucidating the Design Space of Diffusion-Based Generative Models",
        2022,
        dict(schedule="edm", target="preconditioned", sampler="heun", spacing="karras", sampling_steps=25),
    ),
    "flow": (
        "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
        2023,
        dict(schedule="rectified_flow", target="flow"),
    ),
}


def get_config(size="linear"):
    title, year, process = SIZES[size]
    return page(
        paper=dict(
            title=title,
            year=year,
            metric="test/recognised",
            note="eight processes by one small network at one budget: no published figure",
        ),
        model=UNET,
        task=dict(name="diffusion", guidance=1.5, **{"sampler": "ddim", "sampling_steps": 50, **process}),
        data=DATA,
        optimizer=dict(name="adam", clip_norm=1.0),
        schedule=dict(name="cosine", peak=2e-3, warmup_steps=200),
        train=BUDGET,
    )
