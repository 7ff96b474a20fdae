"""`heterofleet diff`: what is sent to the dry run, which fields differ, what each rolls, and how the command ends."""

import argparse
import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from cases.reading import SMALLEST, with_values
from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import access, diff, diffchange, difffields, diffoutcome, difftext, kubeconfig, terminal
from heterofleet.cli.difffields import Field
from heterofleet.cli.diffoutcome import Outcome, Verdict
from heterofleet.cli.errors import CliError
from heterofleet.cluster import errors
from heterofleet.desired.revision import Role
from unit.cli.stored import StoredApi

PATH = "/apis/heterofleet.io/v1alpha1/namespaces/prod/heterogeneousdeployments/chat"
SMALLEST_FLEET = SMALLEST[labels.FLEET_KIND]


def manifest(**values: Any) -> Manifest:
    """A fleet as the server has it, with some fields at paths that have `_` for `.`."""
    changed = {path.replace("_", "."): value for path, value in values.items()}
    return with_values(copy.deepcopy(SMALLEST_FLEET), {"metadata.namespace": "prod", **changed})


def fleet(body: Manifest) -> HeterogeneousDeployment:
    return HeterogeneousDeployment.parse(body)


def annotated(body: Manifest, applied: Manifest) -> Manifest:
    """As kubectl leaves it: what was applied last is in an annotation."""
    return with_values(body, {"metadata.annotations": {diffchange.LAST_APPLIED: json.dumps(applied)}})


def test_a_new_fleet_is_tried_as_kubectl_would_apply_it_on_the_server() -> None:
    change = diffchange.of(fleet(manifest()), "prod", None)
    assert change == (
        {**SMALLEST_FLEET, "metadata": {"name": "chat", "namespace": "prod"}},
        access.APPLY,
        "kubectl",
    )


def test_what_a_manager_has_applied_is_applied_under_its_name_again() -> None:
    fields = {"f:spec": {}}
    live = manifest() | {}
    live["metadata"]["managedFields"] = [
        {
            "manager": "heterofleet-operator",
            "operation": "Apply",
            "subresource": "status",
            "fieldsV1": {"f:status": {}},
        },
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields},
        {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields},
    ]
    change = diffchange.of(fleet(manifest()), "prod", live)
    assert (change.content_type, change.manager) == (access.APPLY, "argocd-controller")


def test_what_a_client_applied_and_the_file_has_no_more_is_taken_away_and_nothing_else() -> None:
    before = manifest(
        spec_small_instances={"min": 2, "max": 9}, spec_budget={"usdPerDay": 8}, metadata_labels={"a": "b"}
    )
    live = annotated(with_values(before, {"spec.suspend": True}), before)
    change = diffchange.of(fleet(manifest(spec_small_instances={"max": 12})), "prod", live)
    assert change.content_type == access.MERGE
    assert change.body["spec"]["small"]["instances"] == {"min": None, "max": 12}
    assert change.body["spec"]["budget"] is None
    assert change.body["metadata"] == {"name": "chat", "namespace": "prod", "labels": None}
    assert "suspend" not in change.body["spec"]


def test_an_annotation_that_is_no_json_is_no_memory_of_what_was_applied() -> None:
    live = with_values(manifest(), {"metadata.annotations": {diffchange.LAST_APPLIED: "{"}})
    assert diffchange.of(fleet(manifest()), "prod", live).content_type == access.APPLY


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"spec_small_instances": {"min": 3}}, [("spec.small.instances.min", None, 3, ())]),
        ({"spec_large_parallelism": {"tensor": 8}}, [("spec.large.parallelism.tensor", None, 8, (Role.LARGE,))]),
        ({"spec_router_image": "r:2"}, [("spec.router.image", None, "r:2", (Role.ROUTER,))]),
        ({"metadata_labels": {"team": "a"}}, [("metadata.labels.team", None, "a", ())]),
        (
            {"metadata_annotations": {labels.ROLL: "2026-01-01T00:00:00Z"}},
            [(f"metadata.annotations.{labels.ROLL}", None, "2026-01-01T00:00:00Z", tuple(Role))],
        ),
        (
            {"spec_small_engine": {"env": [{"name": "A", "value": "b"}]}},
            [("spec.small.engine.env", None, [{"name": "A", "value": "b"}], (Role.SMALL,))],
        ),
    ],
)
def test_each_field_is_told_with_what_it_rolls(changed: Mapping[str, Any], fields: list[Any]) -> None:
    found = difffields.differing(manifest(), manifest(**changed))
    assert [(difffields.dotted(one.path), one.before, one.after, one.rolls) for one in found] == fields


def test_items_of_lists_are_told_by_their_names() -> None:
    def with_env(*items: Manifest) -> Manifest:
        return manifest(spec_small_engine={"env": list(items)})

    live = with_env({"name": "A", "value": "b"}, {"name": "B", "value": "c"})
    found = difffields.differing(live, with_env({"name": "B", "value": "d"}, {"name": "C", "value": "e"}))
    assert [(difffields.dotted(one.path), one.before, one.after, one.rolls) for one in found] == [
        ("spec.small.engine.env[A].value", "b", None, (Role.SMALL,)),
        ("spec.small.engine.env[B].value", "c", "d", (Role.SMALL,)),
        ("spec.small.engine.env[C].value", None, "e", (Role.SMALL,)),
    ]


def test_what_server_and_kubectl_keep_for_themselves_is_no_difference() -> None:
    live = annotated(manifest(), SMALLEST_FLEET)
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": [{}], "generation": 3}
    wanted = manifest() | {"status": {"observedGeneration": 4}}
    assert difffields.differing(live, wanted) == ()


def test_a_default_that_is_written_out_rolls_nothing() -> None:
    assert difffields.rolls(manifest(), manifest(spec_large_parallelism={"tensor": 1})) == ()


def test_what_this_version_cannot_read_leaves_open_what_rolls() -> None:
    newer = manifest(spec_large_telepathy=True)
    assert difffields.rolls(manifest(), newer) is None
    assert "What rolls cannot be told" in shown(Outcome("prod", "chat", Verdict.DIFFERS, (), None))


def shown(outcome: Outcome) -> str:
    return terminal.text(difftext.picture(outcome))


def test_a_change_is_read_as_git_shows_it_with_what_rolls_below() -> None:
    live, wanted = manifest(spec_scaling={"gpuBudget": 8}), manifest(spec_large_parallelism={"tensor": 8})
    wanted["spec"]["suspend"] = True
    outcome = Outcome(
        "prod", "chat", Verdict.DIFFERS, difffields.differing(live, wanted), difffields.rolls(live, wanted)
    )
    lines = shown(outcome).splitlines()
    assert lines[:-1] == [
        "chat in prod: 3 fields would change.",
        "+ spec.large.parallelism.tensor: 8   rolls the large tier",
        "- spec.scaling.gpuBudget: 8",
        "+ spec.suspend: true",
    ]
    assert lines[-1].startswith("The large tier rolls, one instance after the other, each drained first (")
    changed = Outcome("prod", "chat", Verdict.DIFFERS, (Field(("spec", "mode"), "Enforce", "Advisory"),))
    assert shown(changed).splitlines() == [
        "chat in prod: 1 field would change.",
        '~ spec.mode: "Enforce" -> "Advisory"',
        "Nothing rolls: no running pod is replaced.",
    ]


async def outcome(live: Manifest | None, answer: Manifest) -> Outcome:
    objects = {f"{PATH}?dryRun=All": answer} | ({PATH: live} if live else {})
    return await diffoutcome.of(StoredApi(objects), fleet(manifest()), "prod")


async def test_the_servers_answer_decides_what_becomes_of_a_fleet() -> None:
    assert await outcome(None, manifest()) == Outcome("prod", "chat", Verdict.NEW)
    assert await outcome(manifest(), manifest()) == Outcome("prod", "chat", Verdict.SAME)
    changed = await outcome(manifest(), manifest(spec_suspend=True))
    assert (changed.verdict, changed.rolls) == (Verdict.DIFFERS, ())


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (
            422,
            'HeterogeneousDeployment.heterofleet.io "chat" is invalid: spec.small.model: Invalid value: immutable',
            "spec.small.model: Invalid value: immutable",
        ),
        (
            422,
            'The request is invalid: patch: Invalid value: "{}": strict decoding error: unknown field "spec.a"',
            "the cluster's resource definition is older and has no spec.a: upgrade Heterofleet there, or leave it out",
        ),
        (
            500,
            "failed to create typed patch object (prod/chat; heterofleet.io/v1alpha1, Kind=HeterogeneousDeployment):"
            " .spec.large.telepathy: field not declared in schema",
            "the cluster's resource definition is older and has no spec.large.telepathy: upgrade Heterofleet there, or"
            " leave it out",
        ),
    ],
)
async def test_a_refusal_is_the_servers_sentence_or_says_that_the_definition_is_old(
    status: int, said: str, told: str
) -> None:
    refused = await outcome(manifest(), {"error": said, "status": status})
    assert refused == Outcome("prod", "chat", Verdict.REFUSED, message=told)
    assert shown(refused) == f"chat in prod: would be refused: {told}\n"


async def test_a_server_that_fails_refuses_nothing() -> None:
    with pytest.raises(errors.Unavailable, match="etcd is away"):
        await outcome(manifest(), {"error": "etcd is away", "status": 500})


@pytest.mark.parametrize(
    ("verdict", "plain", "as_git"),
    [(Verdict.SAME, 0, 0), (Verdict.DIFFERS, 0, 1), (Verdict.NEW, 0, 1), (Verdict.REFUSED, 1, 1)],
)
def test_a_difference_is_no_failure_unless_it_is_asked_to_be_one(verdict: Verdict, plain: int, as_git: int) -> None:
    outcomes = [Outcome("prod", "same", Verdict.SAME), Outcome("prod", "chat", verdict)]
    assert [diff.exit_code(outcomes, differing=differing) for differing in (False, True)] == [plain, as_git]


def test_a_wrong_file_is_told_as_validate_tells_it_and_nothing_is_asked(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(manifest(spec_large_tensr=8)))
    assert diff.run(options(str(file))) == 1
    assert "spec.large.tensr: unknown field" in capsys.readouterr().err
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    with pytest.raises(CliError, match="holds no fleet"):
        diff.run(options(str(file)))


def options(file: str, namespace: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(files=[file], namespace=namespace, exit_code=False, output="text")


def test_a_namespace_that_contradicts_the_file_is_said() -> None:
    target = kubeconfig.Target(None, "here", "team", "https://127.0.0.1:6443")
    without = fleet(SMALLEST_FLEET)
    assert diff.namespace(without, target, options("f")) == "team"
    assert diff.namespace(fleet(manifest()), target, options("f")) == "prod"
    with pytest.raises(CliError, match="chat is of namespace prod in its file: leave --namespace out, or say prod"):
        diff.namespace(fleet(manifest()), target, options("f", "team"))
