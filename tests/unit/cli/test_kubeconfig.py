"""Which cluster a command means, and the sentences for those who name another."""

import argparse
from pathlib import Path

import pytest

from heterofleet.cli import kubeconfig
from heterofleet.cli.errors import CliError
from heterofleet.cli.kubeconfig import Target

CONFIG = """\
current-context: prod
clusters:
- {name: one, cluster: {server: "https://one:6443"}}
- {name: two, cluster: {server: "https://two:6443"}}
contexts:
- {name: prod, context: {cluster: one, user: me, namespace: models}}
- {name: stage, context: {cluster: two, user: me}}
users: [{name: me, user: {token: secret}}]
"""


def options(**given: str) -> argparse.Namespace:
    return argparse.Namespace(**{"kubeconfig": None, "context": None, "namespace": None, **given})


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    file.write_text(CONFIG)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return file


def test_the_current_context_brings_its_namespace(config: Path) -> None:
    assert kubeconfig.target(options()) == Target(None, "prod", "models", "https://one:6443")


def test_options_win_over_the_file(config: Path) -> None:
    asked = options(context="stage", namespace="dev", kubeconfig=str(config))
    assert kubeconfig.target(asked) == Target(config, "stage", "dev", "https://two:6443")
    assert kubeconfig.target(options(context="stage")).namespace == "default"


def test_several_files_are_merged_and_some_may_be_missing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = config.with_name("more")
    more.write_text("current-context: x\ncontexts: [{name: other, context: {cluster: one, user: me}}]\n")
    monkeypatch.setenv("KUBECONFIG", f"{config.with_name('none')}:{config}:{more}")
    assert kubeconfig.target(options(context="other")).server == "https://one:6443"
    assert kubeconfig.target(options()).context == "prod"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"context": "prdo"}, "context prdo is not in FILE; did you mean prod?"),
        ({"context": "zzz"}, "context zzz is not in FILE; there are prod, stage"),
        ({"kubeconfig": "/none/such"}, "kubeconfig /none/such: no such file"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(config: Path, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(CliError) as caught:
        kubeconfig.target(options(**given))
    assert str(caught.value) == sentence.replace("FILE", str(config))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("contexts: [{name: a}, {name: b}]", "no context is chosen: pass --context NAME, one of a, b"),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b}]}",
            "context a names the user None, which is not in FILE",
        ),
        (
            "{current-context: a, contexts: [{name: a, context: {cluster: b}}]}",
            "context a names the cluster b, which is not in FILE",
        ),
        ("{}", "no cluster is configured in FILE: set KUBECONFIG or pass --kubeconfig FILE"),
        ("just text", "kubeconfig FILE is not a kubeconfig"),
        ("a: b: c", "kubeconfig FILE cannot be read: mapping values are not allowed in this context"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_said_to_be_none(config: Path, content: str, sentence: str) -> None:
    config.write_text(content)
    with pytest.raises(CliError) as caught:
        kubeconfig.target(options())
    assert str(caught.value).startswith(sentence.replace("FILE", str(config), 1))


def test_without_a_file_a_pod_speaks_with_its_own_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert kubeconfig.target(options(namespace="a")) == Target(None, "", "a", "the cluster of this pod")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(CliError, match=r"no cluster is configured in ~/\.kube/config"):
        kubeconfig.target(options())
