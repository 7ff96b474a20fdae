"""Which models are a pair: the source document's own three, and what is not known."""

import pytest

from heterofleet.planning import catalogue, pairs
from heterofleet.planning.catalogue import Facts
from heterofleet.planning.pairs import Match

CATALOGUE = catalogue.load()


@pytest.mark.parametrize(
    ("large", "small", "matched", "sentence"),
    [
        (
            "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
            "Qwen/Qwen3-4B-Instruct-2507",
            True,
            "Qwen3-235B-A22B-Instruct-2507-FP8 and Qwen3-4B-Instruct-2507 share tokenizer and chat template (qwen3).",
        ),
        (
            "deepseek-ai/DeepSeek-R1",
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            False,
            "DeepSeek-R1 and DeepSeek-R1-Distill-Qwen-7B are no pair: their tokenizers differ (deepseek-v3 and qwen2).",
        ),
        (
            "zai-org/GLM-4.5-Air",
            "zai-org/GLM-4-9B-0414",
            False,
            "GLM-4.5-Air and GLM-4-9B-0414 are no pair: their chat templates differ (glm4.5 and glm4).",
        ),
        (
            "meta-llama/Llama-3.3-70B-Instruct",
            "Qwen/Qwen3-4B",
            False,
            "Llama-3.3-70B-Instruct and Qwen3-4B are no pair: their tokenizers differ (llama3 and qwen3) and "
            "their chat templates differ (llama3 and qwen3).",
        ),
    ],
)
def test_a_pair_shares_tokenizer_and_chat_template(large: str, small: str, matched: bool, sentence: str) -> None:
    facts = [CATALOGUE.model(f"hf://{name}") for name in (large, small)]
    assert pairs.match(*facts) == Match(matched, sentence)


def test_a_family_that_is_not_known_is_asked_for() -> None:
    known = CATALOGUE.model("hf://Qwen/Qwen3-4B")
    assert pairs.match(None, known) == Match(
        None, "The family of the large model is not known: state model.facts.family."
    )
    assert pairs.match(Facts(name="mine"), None) == Match(
        None, "The family of the large and the small model is not known: state model.facts.family."
    )


def test_families_that_a_user_states_are_compared_as_they_stand() -> None:
    assert pairs.match(Facts(name="big", family="ours"), Facts(name="little", family="ours")).matched is True
    assert pairs.match(Facts(name="big", family="ours"), Facts(name="little", family="theirs")) == Match(
        False,
        "big and little are no pair: their tokenizers differ (ours and theirs) and "
        "their chat templates differ (ours and theirs).",
    )
