"""Where the constants of the model come from, and which of them make sense together."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.simulate import fit, profile

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "data" / "profiles" / "sageserve.csv"
SHIPPED = ROOT / "operator" / "heterofleet" / "simulate" / "data" / "profiles.json"


def test_the_shipped_profiles_are_those_that_the_table_gives() -> None:
    assert json.loads(fit.document(fit.read(TABLE))) == json.loads(SHIPPED.read_text("utf-8"))


def test_fitted_profiles_are_close_to_what_was_measured() -> None:
    errors = json.loads(SHIPPED.read_text("utf-8"))["relative_errors"]
    assert {name: (e["token_worst"] < 0.08, e["prompt_median"] < 0.15) for name, e in errors.items()} == dict.fromkeys(
        errors, (True, True)
    )


def test_a_batch_that_did_not_fit_the_gpus_is_no_measurement() -> None:
    rows = fit.read(TABLE)[fit.Setting("A", "a100", 2)]
    assert set(rows) - set(fit.plausible(rows)) == {fit.Measured(512, 64, 128, 0.79422, 0.06724)}


def test_a_fit_finds_the_constants_that_made_the_rows() -> None:
    made = profile.load()["a100-tp8-70b"]
    rows = [
        fit.Measured(
            prompt, batch, 128, made.seconds(prompt * batch, 0, 0), made.seconds(0, batch, batch * (prompt + 64))
        )
        for prompt in (128, 512, 2048, 8192)
        for batch in (1, 4, 16, 64)
    ]
    found, errors = fit.fit(fit.Setting("A", "a100", 8), rows)
    assert found == made
    assert errors == fit.Errors(0, 0, 0, 0)


def test_a_coefficient_is_never_negative() -> None:
    """Rows in which more cache takes less time."""
    rows = [fit.Measured(prompt, 1, 128, 1.0 * prompt, 0.05 - 1e-6 * prompt) for prompt in (128, 512, 2048, 8192)]
    found, _ = fit.fit(fit.Setting("A", "a100", 8), rows)
    assert found.kv_token_seconds == 0


@given(st.integers(0, 8192), st.integers(0, 256), st.integers(0, 1_000_000))
def test_more_work_takes_no_less_time(prefill: int, decodes: int, kv_tokens: int) -> None:
    for found in profile.load().values():
        before = found.seconds(prefill, decodes, kv_tokens)
        assert before >= found.step_seconds
        assert found.seconds(prefill + 100, decodes, kv_tokens) >= before
        assert found.seconds(prefill, decodes + 1, kv_tokens + 100) >= before


def test_a_prior_is_of_the_size_of_what_was_measured() -> None:
    measured = profile.load()["h100-tp8-70b"]
    prior = profile.derived(
        "prior", profile.HARDWARE["h100-80gb"], gpus=8, weight_bytes=138e9, active_parameters=69e9,
        kv_bytes_per_token=327_680, kv_tokens=measured.kv_tokens,
    )  # fmt: skip
    assert 0.3 < prior.step_seconds / measured.step_seconds < 1.5
    assert 0.5 < prior.prefill_tokens_per_second / measured.prefill_tokens_per_second < 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kv_tokens": 100}, "max_model_len 32768 does not fit the KV cache of 100 tokens"),
        ({"max_num_batched_tokens": 8}, "a full batch could not decode in one step"),
        ({"step_seconds": 0}, "rates and sizes must be above 0"),
        ({"load_seconds": -1}, "rates and sizes must be above 0"),
    ],
)
def test_a_profile_that_could_not_serve_is_refused(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(profile.load()["tiny"], **changes)  # type: ignore[arg-type]
