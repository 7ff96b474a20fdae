"""The pairs of models to choose from: one that plans and one that executes (source document, section 4.1).

The source names three, by what they are for. The others are what the catalogue has beside them: its 70B row of section
1.1, and two smaller large models, which cost less and know less. A pair is chosen by what it is for and never by its
GPU-hours alone, since the cheapest model is always the one that knows least.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.model import ModelSource
from heterofleet.planning import pairs
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.pairs import Match
from heterofleet.recommend.errors import Unrecommendable


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models, as `model.source` names them."""

    name: str
    use: str
    large: str
    small: str

    def source(self, tier: Tier) -> str:
        return self.large if tier is Tier.LARGE else self.small

    def match(self, catalogue: Catalogue) -> Match:
        """Whether they share tokenizer and chat template."""
        return pairs.match(catalogue.model(self.large), catalogue.model(self.small))


_QWEN_SMALL: Final = "hf://Qwen/Qwen3-4B-Instruct-2507"

_PAIRS: Final = (
    Pair("qwen3", "general tasks", "hf://Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", _QWEN_SMALL),
    Pair("deepseek", "hard reasoning", "hf://deepseek-ai/DeepSeek-R1", "hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"),
    Pair("glm", "long documents", "hf://zai-org/GLM-4.5-Air", "hf://zai-org/GLM-4-9B-0414"),
    Pair("llama3", "general tasks", "hf://meta-llama/Llama-3.3-70B-Instruct", "hf://meta-llama/Llama-3.1-8B-Instruct"),
    Pair("qwen3-32b", "general tasks on few GPUs", "hf://Qwen/Qwen3-32B", _QWEN_SMALL),
    Pair("qwen3-30b", "general tasks at the least cost", "hf://Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", _QWEN_SMALL),
)

PAIRS: Final[Mapping[str, Pair]] = {pair.name: pair for pair in _PAIRS}
USUAL: Final = "qwen3"


def chosen(name: str) -> Pair:
    """The pair of this name, or LARGE+SMALL as two sources. Raises Unrecommendable."""
    if name in PAIRS:
        return PAIRS[name]
    large, plus, small = name.partition("+")
    if plus and large.startswith("hf://") and small.startswith("hf://"):
        return Pair("your own", "what you chose it for", large, small)
    close = difflib.get_close_matches(name, PAIRS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(PAIRS)}"
    raise Unrecommendable(f"no pair {name!r}; {hint}, or write two models as hf://ORG/LARGE+hf://ORG/SMALL")


def facts_missing(pair: Pair, catalogue: Catalogue) -> str | None:
    """A sentence that names a model of which nothing is known; None where both are known."""
    for tier in Tier:
        source = pair.source(tier)
        if catalogue.facts(ModelSource(source=source)) is None:
            close = difflib.get_close_matches(source.removeprefix("hf://").lower(), catalogue.models, n=1, cutoff=0.5)
            hint = f"; did you mean hf://{close[0]}?" if close else ""
            return f"the {tier} model {source} is not in the catalogue, so nothing says which GPUs it takes{hint}"
    return None
