"""The one generic train step and what it needs. The tables are text, so that listing imports nothing."""

# Any other function of optax is spelt "optax:yogi" or "optax.contrib:muon".
OPTIMIZERS = {
    "sgd": "optax:sgd",
    "rmsprop": "optax:rmsprop",
    "adagrad": "optax:adagrad",
    "adadelta": "optax:adadelta",
    "adam": "optax:adam",
    "nadam": "optax:nadam",
    "radam": "optax:radam",
    "adamw": "optax:adamw",
    "adafactor": "optax:adafactor",
    "lars": "optax:lars",
    "lamb": "optax:lamb",
    "lion": "optax:lion",
    "lbfgs": "optax:lbfgs",
    "muon": "training.muon:muon",
    "adamw_layerwise": "training.layerwise:adamw_layerwise",
    "clipped_rmsprop": "training.clipped:clipped_rmsprop",
}

SCHEDULES = {
    "constant": "training.schedules:constant",
    "step": "training.schedules:step",
    "exponential": "training.schedules:exponential",
    "linear": "training.schedules:linear",
    "polynomial": "training.schedules:polynomial",
    "cosine": "training.schedules:cosine",
    "one_cycle": "training.schedules:one_cycle",
    "rsqrt": "training.schedules:rsqrt",
}
