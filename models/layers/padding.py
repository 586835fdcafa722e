"""Padding of convolutions that stride, by the convention of a framework."""

# name -> window -> what nn.Conv takes as `padding`. Where a window strides by 2 over an even side, TensorFlow's "SAME"
# pads below and on the right alone, and the libraries of torch pad all borders equally.
PADDINGS = {"same": lambda window: "SAME", "symmetric": lambda window: window // 2}
