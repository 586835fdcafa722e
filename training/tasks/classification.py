"""Image classification: one network, one label per image.

The loss of an example is the cross-entropy with smoothed labels,

    ℓ = −Σ_k t_k log p_k,   t_k = (1 − ε) [k = label] + ε/K,

and where augmentation has blended two examples (mixup: Zhang et al. 2018; CutMix: Yun et al. 2019),

    ℓ = λ ℓ(label) + (1 − λ) ℓ(other label).

A network with auxiliary classifiers adds w ℓ of each of them in training (Szegedy et al. 2015, section 5).
"""

import flax.linen as nn
import jax

from models.interfaces import Auxiliary
from training import metrics, views
from training.losses import softmax_cross_entropy
from training.metrics import classification as measured
from training.metrics.mistakes import Mistakes
from training.task import Task, apply_in_training, init_network, trained


def classification(networks: dict[str, nn.Module], *, label_smoothing: float = 0.0, top_k: int = 5) -> Task:
    """Trains `networks["model"]`, a module (image [B, H, W, C], train) -> logits [B, K].

    The batch has `image` and `label` [B] (−1: no label, weight 0), after mixup or CutMix also `mix` [B] (λ)
    and `label_mix` [B]. Predictions are `logits`, `prediction`, its `probability` and the `loss` [B], which is the
    plain cross-entropy.

    Args:
      label_smoothing: ε.
      top_k: k of the top-k accuracy; left out if there are at most k classes.
    """
    model = networks["model"]

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1])
        return {"model": params}, {"model": stats}

    def loss(player, params, stats, batch, key, frozen, hyper):
        smoothing = hyper["task"]["label_smoothing"]
        network = trained(networks, hyper)["model"]
        outputs, moved = apply_in_training(network, params["model"], stats["model"], key, batch, batch["image"])
        logits, *others = outputs if isinstance(network, Auxiliary) and network.auxiliary else (outputs,)
        guess = logits.argmax(-1)

        def judge(label):
            value = softmax_cross_entropy(logits, label, smoothing)
            for auxiliary in others:
                value += network.auxiliary * softmax_cross_entropy(auxiliary, label, smoothing)
            return value, guess == label

        values, hits = judge(batch["label"])
        labelled = batch["label"] >= 0
        if "mix" in batch:
            share, other = batch["mix"], judge(batch["label_mix"])
            values, hits = share * values + (1 - share) * other[0], share * hits + (1 - share) * other[1]
            labelled &= batch["label_mix"] >= 0
        weight = labelled.astype(values.dtype)
        sums = {"accuracy": (weight * hits).sum()}
        return (weight * values).sum(), weight.sum(), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        logits = model.apply({"params": params["model"], **stats["model"]}, batch["image"], train=False)
        return {
            "logits": logits,
            "prediction": logits.argmax(-1),
            "probability": jax.nn.softmax(logits).max(-1),
            "loss": softmax_cross_entropy(logits, batch["label"]),
        }

    measures = {
        "accuracy": measured.accuracy(),
        "cross_entropy": metrics.mean("loss", "cross_entropy", "min", "nats", label="label", panel="loss"),
        "confusion": measured.confusion(model.num_classes),
    }
    if model.num_classes > top_k:
        measures[f"top{top_k}"] = measured.top_k(top_k)
    return Task(
        players=("model",),
        needs=("label",),
        init=init,
        loss=loss,
        predict=predict,
        metrics=measures,
        evaluators={"mistakes": Mistakes()},
        numbers=("label_smoothing",),
        best="accuracy",
        views=(views.image(), views.label(title="true"), views.classed(title="found")),
        outputs={"prediction": "label", "probability": "number", "logits": "number"},
    )
