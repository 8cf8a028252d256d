"""kvm_exporter: kernel metrics through kvm(3), for Prometheus and OpenTelemetry."""

__version__ = "0.1.0"
