"""How vLLM is started: arguments, environment, and the names that engines and routers agree on."""

import pytest

from heterofleet.api.labels import Manifest, Tier
from heterofleet.desired import engine, pods, routing
from unit.desired import fleets


def environment(tier: Tier, **spec: Manifest) -> dict[str, Manifest]:
    return {variable["name"]: variable for variable in engine.environment(fleets.fleet(**spec), tier)}


def test_a_tier_becomes_arguments_that_are_the_same_for_every_rank() -> None:
    large = {
        "model": {"servedName": "planner"},
        "parallelism": {"tensor": 4, "pipeline": 2, "data": 2, "expertParallel": True},
        "engine": {
            "gpuMemoryUtilization": 0.85,
            "maxModelLen": 32768,
            "maxNumSeqs": 64,
            "maxNumBatchedTokens": 12288,
            "dtype": "bfloat16",
            "prefixCaching": False,
            "extraArgs": ["--seed", "1"],
        },
    }
    assert " ".join(engine.arguments(fleets.fleet(large=large), Tier.LARGE)) == (
        "vllm serve {model} --served-model-name planner chat-small chat auto plan act --host 0.0.0.0 --port 8000"
        " --tensor-parallel-size 4 --pipeline-parallel-size 2 --data-parallel-size 2 --enable-expert-parallel"
        " --gpu-memory-utilization 0.85 --max-model-len 32768 --max-num-seqs 64 --max-num-batched-tokens 12288"
        " --dtype bfloat16 --no-enable-prefix-caching --seed 1"
    )


def test_what_is_not_given_is_left_to_vllm() -> None:
    assert " ".join(engine.arguments(fleets.fleet(), Tier.SMALL)) == (
        "vllm serve {model} --served-model-name chat-small chat-large chat auto plan act --host 0.0.0.0 --port 8000"
        " --tensor-parallel-size 1 --gpu-memory-utilization 0.9 --enable-prefix-caching"
    )


@pytest.mark.parametrize("names", [{}, {"large": "planner", "small": "worker"}, {"large": "auto"}, {"small": "chat"}])
def test_every_engine_answers_to_every_name_that_a_router_lets_through(names: dict[str, str]) -> None:
    fleet = fleets.fleet(**{tier: {"model": {"servedName": name}} for tier, name in names.items()})
    config = routing.config(fleet, fleets.PLATFORM.catalogue)
    known = [model.name for model in config.models]
    for tier, endpoints in ((Tier.LARGE, config.large), (Tier.SMALL, config.small)):
        served = engine.served_names(fleet, tier)
        assert served[0] == endpoints.served_name == fleet.served_name(tier)
        assert sorted(served) == sorted(known)
    assert len(known) == len(set(known))


@pytest.mark.parametrize("tier", Tier)
def test_engines_that_ask_for_keys_have_the_ring_where_their_supervisor_looks(tier: Tier) -> None:
    fleet = fleets.fleet(engineKeys={"secret": "ring"})
    spec = pods.engine_template(fleet, tier, fleets.PLATFORM).body["spec"]
    (container,) = spec["containers"]
    assert spec["volumes"][-1] == {"name": "engine-keys", "secret": {"secretName": "ring"}}
    place = {"name": "engine-keys", "mountPath": "/etc/heterofleet/engine-keys", "readOnly": True}
    assert container["volumeMounts"][-1] == place
    assert {"name": "HETEROFLEET_KEYS_DIR", "value": place["mountPath"]} in container["env"]
    assert "ring" not in " ".join(container["args"])


@pytest.mark.parametrize("keys", [None, {"secret": "ring", "enforced": False}])
def test_engines_that_ask_for_none_have_nothing_of_the_ring(keys: Manifest | None) -> None:
    given = {} if keys is None else {"engineKeys": keys}
    plain = pods.engine_template(fleets.fleet(), Tier.LARGE, fleets.PLATFORM)
    assert pods.engine_template(fleets.fleet(**given), Tier.LARGE, fleets.PLATFORM) == plain


def test_a_tier_named_like_the_fleet_keeps_its_name() -> None:
    config = routing.config(fleets.fleet(small={"model": {"servedName": "chat"}}), fleets.PLATFORM.catalogue)
    assert [(model.name, model.tier) for model in config.models if model.name == "chat"] == [("chat", Tier.SMALL)]


@pytest.mark.parametrize(
    ("source", "given", "revision"),
    [
        ("hf://Qwen/Qwen3-32B", "hf://Qwen/Qwen3-32B", {"name": "HETEROFLEET_MODEL_REVISION", "value": "main"}),
        ("s3://models/qwen", "s3://models/qwen", None),
        ("file:///cache/qwen", "file:///cache/qwen", None),
        ("pvc://weights/qwen/3", "file:///model/qwen/3", None),
        ("pvc://weights/", "file:///model", None),
    ],
)
def test_the_supervisor_is_told_where_the_weights_come_from(source: str, given: str, revision: Manifest | None) -> None:
    variables = environment(Tier.LARGE, large={"model": {"source": source}})
    assert variables["HETEROFLEET_MODEL_SOURCE"]["value"] == given
    assert variables.get("HETEROFLEET_MODEL_REVISION") == revision


def test_a_rank_learns_its_group_from_labels_so_that_one_template_serves_all_instances() -> None:
    variables = environment(Tier.LARGE)
    group = ("HETEROFLEET_PODS", "HETEROFLEET_POD_INDEX", "HETEROFLEET_INSTANCE", "HETEROFLEET_GROUP_SERVICE")
    assert [variables[name] for name in group] == [
        {"name": "HETEROFLEET_PODS", "value": "2"},
        {
            "name": "HETEROFLEET_POD_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}},
        },
        {
            "name": "HETEROFLEET_INSTANCE",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['heterofleet.io/instance']"}},
        },
        {"name": "HETEROFLEET_GROUP_SERVICE", "value": "chat-large-$(HETEROFLEET_INSTANCE).ai.svc"},
    ]
    # Kubernetes expands $(NAME) only from variables that stand before it.
    assert list(variables).index("HETEROFLEET_INSTANCE") < list(variables).index("HETEROFLEET_GROUP_SERVICE")


def test_a_small_pod_is_a_group_of_one() -> None:
    variables = environment(Tier.SMALL)
    assert variables["HETEROFLEET_PODS"]["value"] == "1"
    assert not {"HETEROFLEET_POD_INDEX", "HETEROFLEET_INSTANCE", "HETEROFLEET_GROUP_SERVICE"} & variables.keys()


def test_the_users_variable_takes_the_place_of_ours() -> None:
    env = [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "MINE", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
    variables = environment(Tier.LARGE, large={"engine": {"env": env}})
    assert [variables["NCCL_DEBUG"], variables["MINE"]] == env


def test_the_token_reaches_the_engine_from_its_secret() -> None:
    variables = environment(Tier.SMALL, small={"model": {"tokenSecret": {"name": "hf", "key": "token"}}})
    assert variables["HF_TOKEN"] == {
        "name": "HF_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}},
    }
