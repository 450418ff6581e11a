"""Grafana dashboards as code: kinds and their labels → checked JSON and provisioning files."""
