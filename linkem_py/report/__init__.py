# Measures a running network and says asked beside measured.
#
#   model       Report, LinkReport, Figure, Verdict: what was measured, as values
#   measure     measure(): all of it
#   calibrate   what the machine itself does to packets
#   pace        how many probes each link gets, and when (pure)
#   stations    the sockets
#   datagrams   sendmmsg, recvmmsg, kernel timestamps
#   probes      one-way probes and echoes
#   goodput     filling links that have a rate
#   expect      what an impairment comes to by the kernel's formulas (pure)
#   judge       from a link's samples to its figures (pure)
#   history     what held on links that vary, and when
#   phases      each probe of such a link against what was in force when it was sent (pure)
#   figures     confidence intervals and verdicts (pure)
#   table       for the terminal
#   markdown    for a file
#   pictures    the graph, the distributions (matplotlib)
#   timeline    what a recording says of each link over time (pure)
#   recording_picture  a picture of it (matplotlib)
#   verify      links held against what is asked, with a confidence (a package)
#   files       report.md, report.json, graph.png, distributions.png
"""Reports: asked beside measured."""

from linkem_py.report.calibrate import calibrate
from linkem_py.report.files import write
from linkem_py.report.measure import measure
from linkem_py.report.model import DelayDistribution, Figure, LinkReport, Machine, Report, Verdict
from linkem_py.report.table import render_table
from linkem_py.report.timeline import Timeline, timeline

__all__ = [
    "DelayDistribution",
    "Figure",
    "LinkReport",
    "Machine",
    "Report",
    "Timeline",
    "Verdict",
    "calibrate",
    "measure",
    "render_table",
    "timeline",
    "write",
]
