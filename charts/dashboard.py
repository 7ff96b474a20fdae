"""Builds Grafana's dashboard of all fleets from `panels`, by Grafana's own library, as the text of its JSON."""

from typing import Any, Final

import panels
from grafana_foundation_sdk.builders import common as commons
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh
from panels import Panel

_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH, _HEIGHT = 8, 8
"""Of a panel, in the 24 columns of Grafana: three stand side by side."""
_STACK_OPACITY, _LINE_OPACITY = 40.0, 0.0
_EVERY_FLEET: Final = "heterofleet_router_connections"
"""The series that every router has, and that gives the names to choose from."""


def text() -> str:
    """The whole dashboard, the same for the same panels."""
    return JSONEncoder(sort_keys=True, indent=1).encode(_built()) + "\n"


def _built() -> Any:
    made = (
        dashboards.Dashboard("Heterofleet")
        .uid("heterofleet")
        .description("Heterogeneous model fleets: traffic, objective, capacity, money. Generated: edits are lost.")
        .tags(["heterofleet"])
        .time("now-6h", "now")
        .refresh("1m")
        .readonly()
        .timezone("browser")
        .with_variable(dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    made.with_variable(_choice("namespace", f"label_values({_EVERY_FLEET}, namespace)"))
    made.with_variable(_choice("fleet", f'label_values({_EVERY_FLEET}{{namespace=~"$namespace"}}, fleet)'))
    for row in panels.ROWS:
        made.with_row(dashboards.Row(row.title))
        for panel in row.panels:
            made.with_panel(_series(panel))
    return made.build()


def _choice(name: str, query: str) -> dashboards.QueryVariable:
    return (
        dashboards.QueryVariable(name)
        .label(name)
        .query(query)
        .datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
    )


def _series(panel: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .span(_WIDTH)
        .height(_HEIGHT)
        .fill_opacity(_STACK_OPACITY if panel.stacked else _LINE_OPACITY)
        .legend(
            commons.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(commons.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    if panel.least is not None:
        made.min(panel.least)
    if panel.stacked:
        made.stacking(commons.StackingConfig().mode(common.StackingMode.NORMAL))
    for number, query in enumerate(panel.queries):
        made.with_target(
            prometheus.Dataquery()
            .expr(query.expression)
            .legend_format(query.legend)
            .ref_id(chr(ord("A") + number))
            .datasource(_SOURCE)
        )
    return made
