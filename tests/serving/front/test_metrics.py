"""Metrics in Prometheus' text format."""

from __future__ import annotations

from framesift.serving.front.metrics import Counter, Gauge, Histogram, exposition


def test_metrics_are_told_as_prometheus_reads_them() -> None:
    calls = Counter("calls_total", "Calls", ("method", "code"))
    calls.add("Infer", "OK")
    calls.add("Infer", "OK", by=2)
    calls.add('a "quoted"\nname\\', "OK")
    rows = Histogram("rows", "Rows", (1, 2.5))
    for value in (1, 2, 2.5, 100):
        rows.observe(value)
    seconds = Histogram("seconds", "Seconds", (0.5,), ("method",))
    seconds.observe(0.25, "Infer")
    told = exposition(
        [calls, rows, seconds, Gauge("ready", "Whether it is", lambda: True), Counter("none_total", "None")]
    )
    assert told.splitlines() == [
        "# HELP calls_total Calls",
        "# TYPE calls_total counter",
        'calls_total{method="Infer",code="OK"} 3',
        'calls_total{method="a \\"quoted\\"\\nname\\\\",code="OK"} 1',
        "# HELP rows Rows",
        "# TYPE rows histogram",
        'rows_bucket{le="1"} 1',
        'rows_bucket{le="2.5"} 3',
        'rows_bucket{le="+Inf"} 4',
        "rows_sum 105.5",
        "rows_count 4",
        "# HELP seconds Seconds",
        "# TYPE seconds histogram",
        'seconds_bucket{method="Infer",le="0.5"} 1',
        'seconds_bucket{method="Infer",le="+Inf"} 1',
        'seconds_sum{method="Infer"} 0.25',
        'seconds_count{method="Infer"} 1',
        "# HELP ready Whether it is",
        "# TYPE ready gauge",
        "ready 1",
        "# HELP none_total None",
        "# TYPE none_total counter",
        "none_total 0",
    ]
