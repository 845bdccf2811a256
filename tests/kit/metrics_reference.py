"""``docs/metrics.md``, made from the metric families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_supervisor.web.api.metrics import (
    OF_BUILD,
    OF_DAEMON,
    OF_JOURNAL,
    OF_POOLS,
    OF_PROCESSES,
    sample_name,
)

if TYPE_CHECKING:
    from trio_supervisor.web.api.metrics import MetricFamily

INTRODUCTION = """\
# Metrics

`GET /metrics` of an HTTP server returns
[OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text for Prometheus and
compatible tools. Users with read-only access may read it. The families `node_supervisord_*` have
the names, labels and values of the supervisord collector of node_exporter, so dashboards and alerts
made for that collector go on working.

## Scrape configuration

With an `[inet_http_server]` on port 9001 and a user with read-only access
([`readonly_username`](configuration.md#inet_http_server)), Prometheus needs:

```yaml
scrape_configs:
  - job_name: tsupervisord
    static_configs:
      - targets: ["127.0.0.1:9001"]
    basic_auth:
      username: metrics
      password_file: /etc/prometheus/tsupervisord.password
```

Without a password leave `basic_auth` out. A server with `ssl_certificate` needs `scheme: https`.
"""
ALERTS = """\
## Alert rules

Five rules that fit most installations:

```yaml
groups:
  - name: tsupervisord
    rules:
      - alert: ProgramGivenUp
        expr: node_supervisord_state == 200
        annotations:
          summary: "{{ $labels.name }} is FATAL: the supervisor has given up starting it"
      - alert: ProgramDoesNotStart
        expr: node_supervisord_state == 30 or node_supervisord_state == 10
        for: 5m
        annotations:
          summary: "{{ $labels.name }} has been starting for five minutes"
      - alert: ProgramRestartsOften
        expr: increase(trio_supervisor_process_automatic_restarts_total[10m]) >= 3
        annotations:
          summary: "{{ $labels.name }} was restarted {{ $value }} times in ten minutes"
      - alert: ProgramCrashed
        expr: >-
          trio_supervisor_process_last_exit_unexpected == 1
          and time() - trio_supervisor_process_last_exit_timestamp_seconds < 300
        annotations:
          summary: "{{ $labels.name }} ended unexpectedly"
      - alert: ListenerLosesEvents
        expr: increase(trio_supervisor_pool_dropped_events_total[10m]) > 0
        annotations:
          summary: "the event listeners of {{ $labels.name }} are too slow for their events"
```

`tsupervisorctl status -v NAME` shows what is behind the first four of them.
"""
CHAPTERS = (
    ("The supervisor", "", (*OF_DAEMON, *OF_JOURNAL, *OF_BUILD)),
    ("Programs", "Each sample has the labels `name` and `group`. ", OF_PROCESSES),
    ("Event listeners", "Each sample has the label `name`, that of the pool. ", OF_POOLS),
)


def markdown() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for title, about, families in CHAPTERS:
        rows = "\n".join(_row(family) for family in families)
        head = "| metric | type | meaning |\n|---|---|---|"
        parts.append(f"## {title}\n\n{about}{_UNKNOWN if about else ''}{head}\n{rows}\n")
    return "\n".join((*parts, ALERTS))


_UNKNOWN = "A sample that is not known is left out.\n\n"


def _row(family: MetricFamily) -> str:
    return f"| `{sample_name(family)}` | {family.type} | {family.help} |"
