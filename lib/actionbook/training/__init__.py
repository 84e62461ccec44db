FLOORS = ("video", "clips", "models", "weights", "tasks", "training")
"""Of the library: those whose code takes part in a training."""
