"""What the environment may say, and the sentence for what it may not."""

from pathlib import Path

import pytest

from heterofleet.control.settings import ENGINE_IMAGE, LeaseSettings, Settings, SettingsError
from heterofleet.metrics.source import Source


def test_an_empty_environment_is_a_whole_cluster_with_the_contracts_defaults() -> None:
    settings = Settings.read({})
    assert settings.model_dump(exclude={"identity", "router_image"}) == {
        "pod_namespace": "default",
        "namespaces": (),
        "log_format": "json",
        "log_level": "info",
        "metrics_host": "",
        "metrics_port": 9090,
        "workers": 8,
        "resync_seconds": 600,
        "engine_image": ENGINE_IMAGE,
        "time_scale": 1,
        "lease": LeaseSettings().model_dump(),
        "prometheus": Source().model_dump(),
    }
    assert LeaseSettings().model_dump() == {
        "name": "heterofleet-operator",
        "namespace": "default",
        "duration_seconds": 15,
        "renew_deadline_seconds": 10,
        "retry_period_seconds": 2,
    }
    assert settings.router_image.startswith("ghcr.io/heterofleet/router:")


def test_what_a_pod_is_given() -> None:
    settings = Settings.read(
        {
            "POD_NAME": "operator-abc",
            "POD_NAMESPACE": "heterofleet-system",
            "HETEROFLEET_NAMESPACES": "team-b, team-a,team-a",
            "HETEROFLEET_LOG_FORMAT": "text",
            "HETEROFLEET_WORKERS": "4",
            "HETEROFLEET_ENGINE_IMAGE": "registry.example/vllm:1",
            "HETEROFLEET_LEASE_DURATION_SECONDS": "30",
            "HETEROFLEET_RESYNC_SECONDS": "",
            "HETEROFLEET_PROMETHEUS_URL": "https://prometheus.example/prefix/",
            "HETEROFLEET_PROMETHEUS_TOKEN_FILE": "/etc/heterofleet/prometheus/token",
            "HETEROFLEET_PROMETHEUS_CA_FILE": "/etc/heterofleet/prometheus-ca/ca.crt",
            "HETEROFLEET_PROMETHEUS_ALLOWED_URLS": "http://a:9090/,https://b",
        }
    )
    assert settings.identity.startswith("operator-abc_")
    assert settings.namespaces == ("team-a", "team-b")
    assert (settings.log_format, settings.workers, settings.resync_seconds) == ("text", 4, 600)
    assert settings.engine_image == "registry.example/vllm:1"
    assert (settings.lease.namespace, settings.lease.duration_seconds) == ("heterofleet-system", 30)
    assert settings.prometheus == Source(
        url="https://prometheus.example/prefix",
        token_file=Path("/etc/heterofleet/prometheus/token"),
        ca_file=Path("/etc/heterofleet/prometheus-ca/ca.crt"),
        allowed_urls=("http://a:9090", "https://b"),
    )


def test_two_processes_of_one_pod_name_are_two_identities() -> None:
    environment = {"POD_NAME": "operator-abc"}
    assert Settings.read(environment).identity != Settings.read(environment).identity


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"HETEROFLEET_NAMESPACES": "Team"},
            "HETEROFLEET_NAMESPACES: 'Team' is not a namespace's name.",
        ),
        (
            {"HETEROFLEET_LOG_FORMAT": "xml"},
            "HETEROFLEET_LOG_FORMAT: input should be 'json' or 'text' (it is 'xml').",
        ),
        (
            {"HETEROFLEET_METRICS_PORT": "tcp://10.0.0.1:9090"},
            "HETEROFLEET_METRICS_PORT: input should be a valid integer, unable to parse string as an integer "
            "(it is 'tcp://10.0.0.1:9090').",
        ),
        (
            {"HETEROFLEET_WORKERS": "0"},
            "HETEROFLEET_WORKERS: input should be greater than or equal to 1 (it is '0').",
        ),
        (
            {"HETEROFLEET_PROMETHEUS_URL": "prometheus:9090"},
            "HETEROFLEET_PROMETHEUS_URL: 'prometheus:9090' is no address of a Prometheus: write http://HOST:PORT or"
            " https://HOST:PORT/PATH (it is 'prometheus:9090').",
        ),
        (
            {"HETEROFLEET_PROMETHEUS_USERNAME": "reader"},
            "HETEROFLEET_PROMETHEUS*: a user name and a file with the password belong together: give both or none.",
        ),
        (
            {"HETEROFLEET_LEASE_RENEW_DEADLINE_SECONDS": "15"},
            "HETEROFLEET_LEASE*: a lease needs retry period (2 s) < renew deadline (15 s) < duration (15 s).",
        ),
    ],
)
def test_a_wrong_variable_gets_its_sentence(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read(environment)
    assert str(caught.value) == sentence


def test_every_wrong_variable_gets_its_line() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.read({"HETEROFLEET_WORKERS": "x", "HETEROFLEET_LOG_LEVEL": "loud"})
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "HETEROFLEET_LOG_LEVEL",
        "HETEROFLEET_WORKERS",
    ]
