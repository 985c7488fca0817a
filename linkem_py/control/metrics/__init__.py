# Metrics of a running network, for Prometheus.
#
#   families   what is told, from what is measured (no I/O)
#   metrics    Metrics: measures when it is asked, and answers HTTP
"""Metrics of running networks in Prometheus's text format."""

from linkem_py.control.metrics.metrics import Metrics

__all__ = ["Metrics"]
