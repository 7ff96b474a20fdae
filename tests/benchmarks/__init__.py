"""Benchmarks: each prints a table for people and writes build/bench/NAME.json."""
