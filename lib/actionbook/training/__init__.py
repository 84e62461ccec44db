FLOORS = ("video", "clips", "models", "weights", "tasks", "training")
"""Of the library: those whose code takes part in a training."""
VALIDATION = ("inference", "evaluation")
"""Those that take part as well where the rate goes by the scores of validation (``training.plateau``)."""
