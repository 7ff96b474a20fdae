"""Makes a tiny Qwen3 chat model with random weights: `make_model.py FOLDER LAYERS HIDDEN`, with vLLM's own Python.

Its answers mean nothing, but they are made of letters, since a router takes a blank answer for a bad one; they go on
until something else ends them. The tokenizer is byte-level, so that any text goes in, and small, so that an answer that
must follow a JSON schema soon does.
"""

import re
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

LONGEST = 2048
LOUDNESS = 8
"""How much greater than at random the embeddings of letters are; those of all else are zero, which sampling avoids."""

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = ["The quick brown fox jumps over the lazy dog.", "hello world", "user assistant system"] * 4


def tokenizer() -> PreTrainedTokenizerFast:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    trained.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=trained, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=LONGEST
    )
    fast.chat_template = TEMPLATE
    return fast


def model(tokens: PreTrainedTokenizerFast, layers: int, hidden: int) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=(len(tokens) + 63) // 64 * 64,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        dtype="bfloat16",
        bos_token_id=None,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )
    made = Qwen3ForCausalLM(config)
    _speak_in_letters(made.get_input_embeddings().weight, tokens)
    return made.to(torch.bfloat16)


def _speak_in_letters(embeddings: torch.nn.Parameter, tokens: PreTrainedTokenizerFast) -> None:
    """They are those of the output, too."""
    letters = [re.fullmatch("[A-Za-z]+", tokens.decode([token])) is not None for token in range(len(embeddings))]
    with torch.no_grad():
        embeddings.mul_(torch.tensor(letters).unsqueeze(1) * LOUDNESS)


def main(folder: str, layers: str, hidden: str) -> None:
    tokens = tokenizer()
    tokens.save_pretrained(folder)
    model(tokens, int(layers), int(hidden)).save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
