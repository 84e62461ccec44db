"""Speed against real peers, as ratios within one run: ``python -m bench``, or ``make bench``.

Every contestant is a process of its own, kept alive, and all of a row's processes take turns. Rows are in `bench.rows`,
what they run in `bench.peers`, how it is timed in `bench.harness`. PyTorch lives in an environment of its own
(`bench.torch_env`) and is needed for nothing else in the book.
"""
