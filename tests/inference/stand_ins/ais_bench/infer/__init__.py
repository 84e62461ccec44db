"""The part by which the tool is told from another program of its name."""
