"""Writes a report into a directory."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from pathlib import Path

from linkem_py.model import Topology
from linkem_py.report.markdown import render_markdown
from linkem_py.report.model import Report

NO_PICTURES = "Pictures need matplotlib: pip install linkem_py[report]"


def write(report: Report, topology: Topology, directory: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write report.md, report.json, graph.png and distributions.png; returns their paths.

    The directory is made if it is not there. Without matplotlib there are no pictures, and a
    warning and report.md say so. Raises OSError if the directory cannot be written to.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[Path] = []
    if importlib.util.find_spec("matplotlib") is None:
        warnings.warn(NO_PICTURES, stacklevel=2)
        remark = NO_PICTURES
    else:
        # Only here: it takes a second or more to load.
        from linkem_py.report.pictures import draw_distributions, draw_graph

        remark = ""
        pictures = [draw_graph(topology, folder / "graph.png")]
        if any(link.delays is not None for link in report.links):
            pictures.append(draw_distributions(report, folder / "distributions.png"))
    text = folder / "report.md"
    names = [picture.name for picture in pictures]
    text.write_text(render_markdown(report, topology, pictures=names, remark=remark), encoding="utf-8")
    data = folder / "report.json"
    data.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    return (text, data, *pictures)
