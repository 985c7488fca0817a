"""Benchmarks: what building, changing and sending cost, beside iproute2 and pyroute2 on the same kernel."""
