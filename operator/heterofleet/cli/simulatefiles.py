"""Writes what a simulation found: figures, the log of every minute, pictures, one page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heterofleet.simulate.page import Heading
    from heterofleet.simulate.report import Figures
    from heterofleet.simulate.study import Case, Outcome


def write_folder(
    folder: Path, case: "Case", outcomes: "Sequence[Outcome]", figures: "Sequence[Figures]", *, log: str, plots: str
) -> None:
    """report.json, minutes.csv.gz (or .parquet), and a picture each; the folder is made where it is missing."""
    from heterofleet.simulate import minutelog, report  # noqa: PLC0415  numpy takes its time
    from heterofleet.simulate import plots as drawing  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(report.document(case, figures), indent=2) + "\n"
    folder.joinpath("report.json").write_text(document, encoding="utf-8")
    if log == "parquet":
        minutelog.write_parquet(folder / "minutes.parquet", case, outcomes)
    else:
        minutelog.write_csv(folder / "minutes.csv.gz", case, outcomes)
    with drawing.style():
        for name, figure in drawing.all_of(case, outcomes, figures).items():
            content = drawing.png(figure) if plots == "png" else drawing.svg(figure).encode()
            folder.joinpath(f"{name}.{plots}").write_bytes(content)


def write_page(
    file: Path, heading: "Heading", case: "Case", outcomes: "Sequence[Outcome]", figures: "Sequence[Figures]"
) -> None:
    """One page of HTML that needs nothing else."""
    from heterofleet.simulate import page  # noqa: PLC0415  numpy takes its time
    from heterofleet.simulate import plots as drawing  # noqa: PLC0415

    with drawing.style():
        pictures = {name: drawing.svg(each) for name, each in drawing.all_of(case, outcomes, figures).items()}
    file.write_text(page.html(heading, case, outcomes, figures, pictures), encoding="utf-8")
