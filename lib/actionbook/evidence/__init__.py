"""Evidence: a run packed so that others can score it again, and the check that trusts nothing it can compute."""
