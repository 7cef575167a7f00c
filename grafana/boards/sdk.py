"""The parts of grafana-foundation-sdk that the boards use.

The classic dashboard model warns on import that a newer one exists. It is used on purpose: the
classic JSON loads in Grafana 10 to 13, and the newer model only in the last of them.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        common as common_builder,
    )
    from grafana_foundation_sdk.builders import (
        dashboard as dashboard_builder,
    )
    from grafana_foundation_sdk.builders import (
        prometheus as prometheus_builder,
    )
    from grafana_foundation_sdk.builders import (
        stat as stat_builder,
    )
    from grafana_foundation_sdk.builders import (
        statetimeline as timeline_builder,
    )
    from grafana_foundation_sdk.builders import (
        table as table_builder,
    )
    from grafana_foundation_sdk.builders import (
        timeseries as timeseries_builder,
    )
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, dashboard, prometheus

__all__ = [
    "JSONEncoder",
    "common",
    "common_builder",
    "dashboard",
    "dashboard_builder",
    "prometheus",
    "prometheus_builder",
    "stat_builder",
    "table_builder",
    "timeline_builder",
    "timeseries_builder",
]
