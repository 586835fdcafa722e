"""Looking inside a classifier: pure functions of (apply, variables, image).

`apply(variables, images [B, H, W, C])` gives logits [B, K], and an image [H, W, C] is scaled as the network takes it.
"""
