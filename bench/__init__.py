"""Benchmarks: `python -m bench` prints one JSON object; docs/benchmarks.md says how to read it."""
