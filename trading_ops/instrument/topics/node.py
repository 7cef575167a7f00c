"""The metrics of a node, and of the local stack's supervisor, which has the same API."""

from trading_ops.instrument.metric import Kind, Metric, Owner

NODE_METRICS = (
    Metric(
        name="trading_ops_node_refused_total",
        kind=Kind.COUNTER,
        owner=Owner.NODE,
        help="Requests that the node or the supervisor refused because of their token.",
        why="A client with an old token, or someone guessing tokens.",
    ),
)
