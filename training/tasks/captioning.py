"""Captioning: one network that reads an image and writes a sentence (Vinyals et al. 2015, "Show and Tell").

With the words S_0 = <start>, S_1, ..., S_N = <end> of the caption of an image I, equation 13 of the paper,

    ℓ = −Σ_{t=1..N} log p_t(S_t | I, S_0, ..., S_{t−1}),

in training after the true words (teacher forcing); the mean is over the words of the batch.
"""

import flax.linen as nn
import jax.numpy as jnp

from training import losses, metrics, views
from training.decoding import beam, decode, greedy
from training.errors import TrainingError
from training.metrics.captions import CaptionScores
from training.task import Task, apply_in_training, init_network, trained

PAD, START, END = 0, 1, 2


def captioning(networks: dict[str, nn.Module], info, *, beam_width: int = 1) -> Task:
    """Trains `networks["model"]`: (image [B, H, W, C], tokens [B, T], train) -> logits [B, T, V] of the next words.

    The same a word at a time are its methods `begin` (image) -> state and `step` (state, word [B]) -> (state, logits
    [B, V]). The batch has `image` and one field of kind tokens, [B, T]; a token 0 is padding and weighs nothing.
    Predictions are `answer` [B, T − 1], the words after <start> up to <end>, then padding; where the caption is known
    also `loss` [B], the mean of −log p over its words, and `captioned` [B], 0 where there is no word and else 1.

    Args:
      info: the data's Info, whose tokens have the vocabulary as their names.
      beam_width: how many unfinished sentences are kept (the paper: 20); with 1, the likeliest word is taken each time.

    Raises TrainingError if the data have no tokens or the network another number of words.
    """
    model = networks["model"]
    field = _tokens(info)
    words, length = len(info.fields[field].names), info.fields[field].shape[0] - 1
    if model.vocabulary != words:
        raise TrainingError(f"model.vocabulary={model.vocabulary}, but {field!r} of the data has {words} words")

    def write(step, state, first):
        """The words after `first` [B] up to <end>, then padding: [B, T − 1]."""
        if beam_width != 1:
            return beam(step, state, first, length, beam_width, END)[0][:, 0]
        words = decode(step, state, first, length, greedy)
        ended = jnp.cumsum(words == END, 1) - (words == END) > 0
        return jnp.where(ended, PAD, words)

    def init(key, batch):
        params, stats = init_network(model, key, batch["image"][:1], batch[field][:1, :-1])
        return {"model": params}, {"model": stats}

    def weighed(logits, tokens):
        """−log p of the words after <start> and their weights, [B, T − 1] each."""
        values = losses.softmax_cross_entropy(logits, tokens[:, 1:].astype(jnp.int32))
        return values, (tokens[:, 1:] != PAD).astype(values.dtype)

    def loss(player, params, stats, batch, key, frozen, hyper):
        tokens = batch[field]
        inputs = batch["image"], tokens[:, :-1]
        network = trained(networks, hyper)["model"]
        logits, moved = apply_in_training(network, params["model"], stats["model"], key, batch, *inputs)
        values, weights = weighed(logits, tokens)
        sums = {"word_accuracy": (weights * (logits.argmax(-1) == tokens[:, 1:])).sum()}
        return (weights * values).sum(), weights.sum(), ({"model": moved}, sums)

    def predict(params, stats, batch, key, frozen):
        variables = {"params": params["model"], **stats["model"]}
        state = model.apply(variables, batch["image"], method="begin")
        step = lambda state, word: model.apply(variables, state, word, method="step")
        outputs = {"answer": write(step, state, jnp.full(len(batch["image"]), START, jnp.int32))}
        if field in batch:
            logits = model.apply(variables, batch["image"], batch[field][:, :-1], train=False)
            values, weights = weighed(logits, batch[field])
            outputs["loss"] = (weights * values).sum(1) / jnp.maximum(weights.sum(1), 1)
            outputs["captioned"] = weights.max(1)
        return outputs

    return Task(
        players=("model",),
        init=init,
        loss=loss,
        predict=predict,
        metrics={
            "cross_entropy": metrics.mean("loss", "cross_entropy", "min", "nats", weight="captioned", panel="loss")
        },
        evaluators={"captions": CaptionScores(field, "answer")},
        best="bleu4",
        outputs={"answer": "tokens"},
        views=(views.image(), views.words(field, title="true"), views.words("answer", field, title="answer")),
    )


def _tokens(info) -> str:
    """The name of the one field of tokens."""
    found = [name for name, field in info.fields.items() if field.kind == "tokens"]
    if len(found) != 1:
        raise TrainingError(f"captions are one field of kind tokens; the data have {', '.join(found) or 'none'}")
    return found[0]
