# Verifies links: asked against measured, with a confidence.
#
#   verification   verify(): brings the network up, measures, judges
#   tolerance      what is accepted, and its form on the command line (pure)
#   needs          what is to be checked, and how many packets that takes (pure)
#   checks         from one link's samples to its checks (pure)
#   following      a link kept full while its schedule runs
#   check          Check, Outcome, Verification, and the rule that decides (pure)
#   shares, bursts, delays, rates   the statistics of each kind (pure)
#   tails          normal, binomial, chi-square, Kolmogorov (pure)
#   table          for the terminal
#
# Probes, filling and calibration are those of linkem_py.report.
"""Verification: what links do held against what was asked, with a confidence."""

from linkem_py.report.verify.check import Check, LinkChecks, Outcome, Verification
from linkem_py.report.verify.table import render_verification
from linkem_py.report.verify.tolerance import TOLERANCES, Tolerance, parse
from linkem_py.report.verify.verification import verify

__all__ = [
    "TOLERANCES",
    "Check",
    "LinkChecks",
    "Outcome",
    "Tolerance",
    "Verification",
    "parse",
    "render_verification",
    "verify",
]
