"""What the rows run: functions that build a `bench.worker.Contestant`, each called in a process of its own."""
