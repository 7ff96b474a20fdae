"""What `validate` says of a fleet: every kind of mistake, its place and the sentence that mends it."""

import textwrap

import pytest

from heterofleet.cli import findings
from heterofleet.cli.findings import Examined
from heterofleet.cli.judgement import Severity
from heterofleet.planning import catalogue

SOUND = """\
apiVersion: heterofleet.io/v1alpha1
kind: HeterogeneousDeployment
metadata: {name: chat}
spec:
  large:
    model: {source: "hf://Qwen/Qwen3-32B"}
    parallelism: {tensor: 8}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
  small:
    model: {source: "hf://Qwen/Qwen3-4B"}
    placement: {gpuProduct: NVIDIA-A100-SXM4-80GB}
"""


def examine(text: str) -> Examined:
    return findings.examine(text, catalogue.load())


def said(text: str) -> list[tuple[str, int, int, str, str]]:
    return [(str(f.severity), f.span.line, f.span.column, f.path, f.message) for f in examine(text).findings]


def errors(text: str) -> list[tuple[int, int, str, str]]:
    return [found[1:] for found in said(text) if found[0] == "error"]


def large(line: str) -> str:
    """A fleet whose line 6 and following say `line` of the large tier."""
    block = textwrap.indent(textwrap.dedent(line), "    ")
    return (
        "apiVersion: heterofleet.io/v1alpha1\nkind: HeterogeneousDeployment\nmetadata: {name: chat}\n"
        f'spec:\n  large:\n{block}\n  small: {{model: {{source: "hf://Qwen/Qwen3-4B"}}}}\n'
    )


MODEL = 'model: {source: "hf://Qwen/Qwen3-32B"}\n'


def test_a_sound_fleet_has_no_findings() -> None:
    examined = examine(SOUND)
    assert [fleet.metadata.name for fleet in examined.fleets] == ["chat"]
    assert (examined.meant, examined.errors, examined.warnings) == (1, 0, 0)


@pytest.mark.parametrize(
    ("line", "place", "sentence"),
    [
        ("instances: {mim: 1}", (7, 13, "spec.large.instances.mim"), "unknown field; did you mean min?"),
        ("served_name: a", (7, 1, "spec.large.served_name"), "unknown field here: it stands in spec.large.model"),
        ("tensor: 8", (7, 1, "spec.large.tensor"), "unknown field here: it stands in spec.large.parallelism"),
        ("replicas: 2", (7, 1, "spec.large.replicas"), "unknown field: write instances"),
        ("tp: 8", (7, 1, "spec.large.tp"), "unknown field: write parallelism.tensor"),
        ('instances: {min: "2"}', (7, 18, "spec.large.instances.min"), 'must be a whole number, not "2"'),
        ("instances: {min: 2.5}", (7, 18, "spec.large.instances.min"), "must be a whole number, not 2.5"),
        ("instances: {min: yes}", (7, 18, "spec.large.instances.min"), "must be a whole number, not true"),
        ("instances: {min: -1}", (7, 18, "spec.large.instances.min"), "must be at least 0, not -1"),
        ("instances: {min: 9000}", (7, 18, "spec.large.instances.min"), "must be at most 1000, not 9000"),
        ("instances: [1]", (7, 1, "spec.large.instances"), "must be a mapping, not a list"),
        ("engine: {extraArgs: --x}", (7, 21, "spec.large.engine.extraArgs"), 'must be a list, not "--x"'),
        ("engine: {prefixCaching: 1}", (7, 25, "spec.large.engine.prefixCaching"), "must be true or false, not 1"),
        ("engine: {image: 7}", (7, 17, "spec.large.engine.image"), 'must be text: put it in quotes, "7"'),
        ('engine: {image: ""}', (7, 17, "spec.large.engine.image"), "must not be empty"),
        ("engine: {image: a b}", (7, 17, "spec.large.engine.image"), '"a b" is not an image: text without blanks'),
        (
            "engine: {sharedMemory: 16Gb}",
            (7, 24, "spec.large.engine.sharedMemory"),
            '"16Gb" is not an amount such as 4, 500m or 16Gi',
        ),
        (
            "placement: {nodeSelector: {a: b c}}",
            (7, 31, "spec.large.placement.nodeSelector.a"),
            "\"b c\" is not a label's value: letters, digits, '-', '_' and '.'",
        ),
        (
            "imagePullSecrets: [{name: A_B}]",
            (7, 27, "spec.large.imagePullSecrets[0].name"),
            "\"A_B\" is not the name of an object: lower-case letters, digits, '-' and '.'",
        ),
        (
            f"engine: {{image: {'a' * 600}}}",
            (7, 17, "spec.large.engine.image"),
            "must have at most 512 characters",
        ),
        (
            "engine: {dtype: bf16}",
            (7, 17, "spec.large.engine.dtype"),
            '"bf16" is not one of auto, half, float16, bfloat16 or float32; did you mean bfloat16?',
        ),
        (
            "engine: {extraArgs: [--seed=1, --max_model_len=5]}",
            (7, 32, "spec.large.engine.extraArgs[1]"),
            "--max-model-len may not stand in extraArgs: write spec.large.engine.maxModelLen instead",
        ),
        (
            "engine: {extraArgs: [--tensor-par=4]}",
            (7, 22, "spec.large.engine.extraArgs[0]"),
            "--tensor-par, short for --tensor-parallel-size, may not stand in extraArgs: "
            "write spec.large.parallelism.tensor instead",
        ),
        (
            "engine: {extraArgs: [--port=1]}",
            (7, 22, "spec.large.engine.extraArgs[0]"),
            "--port may not stand in extraArgs: leave it out, the operator sets it",
        ),
        (
            "instances: {min: 3, max: 2}",
            (7, 1, "spec.large.instances"),
            "instances.min must not be above instances.max: lower min or raise max",
        ),
        (
            "parallelism: {tensor: 8, gpusPerPod: 3}",
            (7, 1, "spec.large.parallelism"),
            "tensor x pipeline x data must be a multiple of gpusPerPod: choose a gpusPerPod that divides it",
        ),
        (
            "parallelism: {tensor: 4, data: 3, gpusPerPod: 6}",
            (7, 1, "spec.large.parallelism"),
            "a data-parallel rank (tensor x pipeline GPUs) lies whole in one pod or spans whole pods: choose a "
            "gpusPerPod that divides tensor x pipeline or is a multiple of it",
        ),
    ],
)
def test_a_mistake_is_shown_where_it_stands_with_what_to_write(
    line: str, place: tuple[int, int, str], sentence: str
) -> None:
    row, column, path = place
    found = errors(large(MODEL + line))
    assert [(r, c, p) for r, c, p, _ in found][:1] == [(row, column + 4 if column else 0, path)]
    assert found[0][3] == sentence


def test_a_missing_field_is_shown_at_what_lacks_it() -> None:
    assert errors(large("model: {revision: main}")) == [
        (
            6,
            5,
            "spec.large.model.source",
            "is required: hf://ORG/NAME, s3://BUCKET/PREFIX, pvc://CLAIM/PATH or file:///PATH (in the image or on a"
            " volume).",
        )
    ]


def test_a_null_is_an_absent_field_as_for_the_server() -> None:
    assert errors(large(MODEL + "engine: {image: null, maxModelLen: ~}")) == []


def test_a_null_does_not_make_an_unknown_field_known() -> None:
    assert [path for _, _, path, _ in errors(large(MODEL + "unheard: null"))] == ["spec.large.unheard"]


def test_a_null_inside_an_overlay_is_kept_since_it_deletes() -> None:
    (fleet,) = examine(large(MODEL + "podTemplate: {spec: {priority: null}}")).fleets
    assert fleet.spec.large.pod_template == {"spec": {"priority": None}}


def test_each_broken_rule_of_a_value_is_told_by_itself() -> None:
    text = large(MODEL + "parallelism: {tensor: 48, data: 48, gpusPerPod: 5}")
    assert [message for _, _, _, message in errors(text)] == [
        "tensor x pipeline x data must be a multiple of gpusPerPod: choose a gpusPerPod that divides it",
        "an instance has at most 1024 GPUs: lower tensor, pipeline or data",
    ]


@pytest.mark.parametrize("name", ["9lives", "Chat", "a" * 41, "a-", "a.b", '""'])
def test_a_name_that_children_cannot_carry_is_refused_in_words(name: str) -> None:
    (found,) = errors(SOUND.replace("name: chat", f"name: {name}"))
    assert found[2:] == (
        "metadata.name",
        "a fleet's name has at most 40 characters, begins with a letter, ends with a letter or digit, "
        "and holds only lower-case letters, digits and '-'",
    )


def test_tensor_groups_across_pods_are_a_warning_alone() -> None:
    text = large(MODEL + "parallelism: {tensor: 16}")
    assert [(f.severity, f.reason, f.message) for f in examine(text).findings][:1] == [
        (Severity.WARNING, "FastFabricNeeded", "tensor 16 spans pods of 8 GPUs, which needs a fast fabric")
    ]
    assert examine(text).errors == 0


def test_other_kinds_are_noted_and_do_not_fail() -> None:
    text = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a}}\n---\n{SOUND}"
    assert said(text) == [("note", 2, 7, "kind", "Namespace is not a fleet: skipped")]
    assert examine(text).meant == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            SOUND.replace("Heterogeneous", "Heterogenous"),
            ("error", 2, 7, "kind", "kind HeterogenousDeployment is unknown; did you mean HeterogeneousDeployment?"),
        ),
        (
            SOUND.replace("v1alpha1", "v1"),
            ("error", 1, 13, "apiVersion", "apiVersion must be heterofleet.io/v1alpha1, not heterofleet.io/v1"),
        ),
        (
            "apiVersion: heterofleet.io/v1alpha1\nkind: HeterogeneousTier\n",
            ("note", 2, 7, "kind", "HeterogeneousTier is the operator's own object: leave it out of files"),
        ),
        ("- a\n", ("error", 1, 1, "", "is not a Kubernetes object: it has no apiVersion and kind")),
        ("a: 1\n", ("error", 1, 1, "", "is not a Kubernetes object: it has no apiVersion and kind")),
    ],
)
def test_what_was_meant_as_a_fleet_is_not_skipped(text: str, found: tuple[str, int, int, str, str]) -> None:
    assert said(text) == [found]


def test_a_name_that_stands_twice_is_a_warning() -> None:
    assert said(f"{SOUND}---\n{SOUND}") == [
        ("warning", 15, 18, "metadata.name", "chat in namespace default stands here twice, and the last one counts")
    ]


def test_every_document_and_every_item_of_a_list_is_read() -> None:
    item = textwrap.indent(SOUND, "  ").replace("  apiVersion", "- apiVersion", 1)
    text = f"{SOUND}---\napiVersion: v1\nkind: List\nitems:\n{item.replace('tensor: 8', 'tensor: 0')}"
    examined = examine(text)
    assert examined.meant == 2
    assert [(f.span.line, f.path, f.message) for f in examined.findings if f.severity is Severity.ERROR] == [
        (22, "spec.large.parallelism.tensor", "must be at least 1, not 0")
    ]


def test_what_stands_before_the_unreadable_is_still_judged() -> None:
    text = f"{SOUND.replace('tensor: 8', 'tensor: 0')}---\na: b: c\n"
    assert [(line, message) for line, _, _, message in errors(text)] == [
        (7, "must be at least 1, not 0"),
        (13, "mapping values are not allowed here"),
    ]
