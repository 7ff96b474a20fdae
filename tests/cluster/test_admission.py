"""The API server judges as the models do: the cases, every bound of the schema, and random mixtures of both.

Bodies are created as dry runs with strict field validation, which is what kubectl asks for; updates are real, since
a dry run of an update needs the object that it changes.
"""

import random
import secrets
from collections.abc import Iterator

import pytest

from cases import bounds
from cases.judging import KINDS, complaints
from cases.reading import SMALLEST, Body, Case, cases, value_at, with_values
from heterofleet import generate
from heterofleet.api import crd, labels
from testbed import namespaces
from testbed.api import ApiError
from testbed.controlplane import Cluster

PLURALS = {labels.FLEET_KIND: labels.FLEET_PLURAL, labels.TIER_KIND: labels.TIER_PLURAL}
ALL = tuple(cases())


@pytest.fixture(scope="module")
def admission(cluster: Cluster) -> Iterator["Admission"]:
    """The server with our definitions; the client-side apply that people use puts them there."""
    for definition in crd.definitions():
        cluster.kubectl("apply", "-f", "-", input=generate.as_yaml(definition))
        name = definition["metadata"]["name"]
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    namespace = f"admission-{secrets.token_hex(4)}"
    namespaces.create_namespace(cluster.api, namespace)
    yield Admission(cluster, namespace)
    namespaces.delete_namespace(cluster.api, namespace)


class Admission:
    """Asks the API server what it thinks of a body."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def stored(self, body: Body) -> Body:
        """The body as the server would store it; raises ApiError where it is refused."""
        return self.cluster.api.create(self.collection(body), body, dryRun="All", fieldValidation="Strict")

    def refusal(self, body: Body) -> str:
        """What the server says against a body; empty where it takes it."""
        try:
            self.stored(body)
        except ApiError as refused:
            return refused.message
        return ""

    def collection(self, body: Body) -> str:
        return f"/apis/{body['apiVersion']}/namespaces/{self.namespace}/{PLURALS[body['kind']]}"

    def updated(self, was: Body, body: Body) -> Body:
        """What the server stores when `body` replaces `was`."""
        present = self.cluster.api.create(self.collection(was), was, fieldValidation="Strict")
        address = f"{self.collection(was)}/{was['metadata']['name']}"
        metadata = {**body["metadata"], "resourceVersion": present["metadata"]["resourceVersion"]}
        try:
            parameters = {"fieldValidation": "Strict"}
            return self.cluster.api.call("PUT", address, body=body | {"metadata": metadata}, parameters=parameters)
        finally:
            self.cluster.api.delete(address)


def _decided(admission: Admission, case: Case) -> Body:
    return admission.stored(case.body) if case.was is None else admission.updated(case.was, case.body)


@pytest.mark.parametrize("case", [case for case in ALL if case.refused is not None], ids=lambda case: case.name)
def test_the_server_refuses_as_the_case_says(admission: Admission, case: Case) -> None:
    assert case.refused is not None
    with pytest.raises(ApiError) as refused:
        _decided(admission, case)
    assert refused.value.status in (400, 422)
    assert case.refused.at in refused.value.message
    assert case.refused.says in refused.value.message


@pytest.mark.parametrize("case", [case for case in ALL if case.refused is None], ids=lambda case: case.name)
def test_the_server_takes_a_sound_body_and_fills_in_what_the_models_do(admission: Admission, case: Case) -> None:
    stored = _decided(admission, case)
    kind = KINDS[case.body["kind"]]
    assert kind.parse(stored).spec == kind.parse(case.body).spec
    for path, value in case.becomes.items():
        assert value_at(stored, path) == value


def test_every_bound_is_known_to_both(admission: Admission) -> None:
    smallest = SMALLEST[labels.FLEET_KIND]
    tried = list(bounds.trials())
    assert len(tried) > 1000
    disagreements = []
    for trial in tried:
        body = with_values(smallest, {trial.path: trial.value})
        server, model = admission.refusal(body), [complaint.at for complaint in complaints(body)]
        placed = trial.path in server and any(place.startswith(trial.path) for place in model)
        agreed = placed if trial.beyond else bool(server) == bool(model)
        if not agreed:
            disagreements.append((trial, server, model))
    assert disagreements == []


@pytest.mark.parametrize("seed", range(8))
def test_random_bodies_are_judged_alike(admission: Admission, seed: int) -> None:
    chance = random.Random(seed)
    within, beyond = _pools()
    verdicts = []
    for _ in range(60):
        values = {trial.path: trial.value for trial in chance.sample(within, 4)}
        if chance.random() < 0.1:
            trial = chance.choice(beyond)
            values[trial.path] = trial.value
        values["spec.large.parallelism"] = _shape(chance, "tensor", "pipeline", "data", "gpusPerPod")
        values["spec.small.parallelism"] = _shape(chance, "tensor", "data")
        body = with_values(SMALLEST[labels.FLEET_KIND], values)
        server, model = admission.refusal(body), complaints(body)
        assert bool(server) == bool(model), (values, server, model)
        verdicts.append(bool(server))
    assert 5 <= sum(verdicts) <= 55


def _pools() -> tuple[list[bounds.Trial], list[bounds.Trial]]:
    """Values within their bounds and beyond; the shapes of instances are drawn apart, to meet each other more often."""
    tried = [trial for trial in bounds.trials() if ".parallelism" not in trial.path]
    return [trial for trial in tried if not trial.beyond], [trial for trial in tried if trial.beyond]


def _shape(chance: random.Random, *names: str) -> dict[str, int]:
    return {name: chance.choice((1, 1, 2, 2, 4, 8, 3, 6)) for name in chance.sample(names, 2)}
