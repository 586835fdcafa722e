"""The methods of `experiments/explain`, applied to a run's classifier and a user's picture."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import PageError, near
from experiments.evaluation import answers
from experiments.explain import drawing, gradients, layers
from experiments.explain.occlusion import occlusion
from training.evaluate import variables


class Explainer:
    """Explains the answers of a run's network.

    Args:
      run: of the task "classification".
      method: a name in `experiments.commands.explain.METHODS`.
      options: `label` (a class, its number or None), `layer`, `window` and `step`, as the command has them.

    Raises PageError for an unknown class or layer.
    """

    def __init__(self, run: Any, method: str, options: Any):
        self.run, self.method, self.parts = run, method, run.parts
        state, _, _ = run.restore(options.step)
        params, stats, _ = variables(state)
        self.network = run.parts.networks["model"]
        self.variables = {"params": params["model"], **stats["model"]}
        self.apply = functools.partial(self.network.apply, train=False)
        self.label = None if options.label is None else _class(options.label, self.parts.info.classes)
        height, width, _ = shape = self.parts.info.shape
        self.window = options.window or max(min(height, width) // 6, 1)
        if method in ("gradcam", "activations"):
            found = layers.layers(self.apply, self.variables, shape)
            self.layer = layers.chosen(found, options.layer)

    def filters(self) -> np.ndarray:
        """[H, W, 3] uint8: the filters of the first convolution."""
        return drawing.tiles(np.asarray(layers.filters(self.variables)))

    def explain(self, file: pathlib.Path) -> tuple[np.ndarray, str]:
        """(picture [H, W, 3] uint8, what it explains) of a picture. Raises DataError where it cannot be read."""
        pixels, _ = answers.preparation(self.parts).read(file)
        prepare = lambda x: jnp.asarray(self.parts.prepare({"image": x})["image"])
        image, black = prepare(pixels[None])[0], prepare(np.zeros_like(pixels)[None])[0]
        logits = self._logits(self.variables, image[None])[0]
        label = int(logits.argmax()) if self.label is None else self.label
        line = f"{self.parts.info.classes[label]} {float(jax.nn.softmax(logits)[label]):.4f}"
        if self.method == "activations":
            maps = np.asarray(layers.activations(self.apply, self.variables, image, self.layer))
            return drawing.tiles(np.moveaxis(maps, -1, 0)[..., None].repeat(3, -1)), self.layer
        found = np.asarray(self._heat(image, black, label))
        colours = drawing.heat(found) if found.ndim == 2 else drawing.signed(found)
        return drawing.beside(pixels, colours), line

    def _heat(self, image, black, label):
        """[h, w] of a method that tells where, [H, W, C] of one that tells the sign too."""
        own = (self.apply, self.variables)
        match self.method:
            case "occlusion":
                stride = max(self.window // 2, 1)
                return occlusion(*own, image, label, self.window, stride, fill=0.0)
            case "gradcam":
                return layers.grad_cam(*own, image, label, self.layer)
            case "integrated_gradients":
                return gradients.integrated_gradients(*own, image, label, black)
            case "smoothgrad":
                return gradients.smoothgrad(*own, image, label, jax.random.key(0))
            case "saliency":
                return gradients.saliency(*own, image, label)
            case "guided":
                return gradients.guided(*own, image, label)
            case "deconvnet":
                return gradients.deconvnet(*own, image, label)

    @functools.cached_property
    def _logits(self):
        return jax.jit(self.apply)


def _class(text: str, classes: tuple[str, ...]) -> int:
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise PageError(f"there is no class {text!r}{near(text, classes)}")
