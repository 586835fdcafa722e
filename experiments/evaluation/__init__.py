"""What a trained state is worth and what it shows."""
