"""Operations on images without learning: pure functions of an image, which can be jitted and vmapped."""
