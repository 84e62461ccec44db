"""A stand-in for tests that follows ais_bench's documented names, grouping and console output; not the tool."""
