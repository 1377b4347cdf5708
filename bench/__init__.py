"""Latency and quality benchmarks."""
