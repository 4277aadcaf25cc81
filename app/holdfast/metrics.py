"""Every metric, declared once: base units, closed label sets."""

from prometheus_client import Gauge

SERVICE_UP = Gauge("holdfast_service_up", "1 once the service said it is ready", ["service"])
