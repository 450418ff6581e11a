"""Real servers as child processes, and what stands between them: for the tests and the benchmarks alike."""
