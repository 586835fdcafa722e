"""What detectors are made of, and what judges them: pure functions for one image, with static shapes."""
