"""What a played model says is a function of the prompt, of the length that was asked for, and steered by marks."""

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.simulate import text
from heterofleet.simulate.text import REFUSAL, Answer, Manner, Wish

MANNER = Manner("small-model")


def said(prompt: str, manner: Manner = MANNER, choice: int = 0, **wish: object) -> Answer:
    return text.answer(prompt, prompt, choice, Wish(**{"most": 1_000, **wish}), manner)  # type: ignore[arg-type]


@given(st.text(), st.integers(1, 100), st.integers(0, 50))
def test_an_answer_depends_on_the_prompt_alone_and_keeps_its_bounds(prompt: str, most: int, least: int) -> None:
    one, same = said(prompt, most=most, least=least), said(prompt, most=most, least=least)
    assert one == same
    assert len(one.tokens) <= most
    assert one.finish == "length" or len(one.tokens) >= min(least, most) or "[[" in prompt


@given(st.text())
def test_tokens_are_the_text_in_pieces(given_text: str) -> None:
    tokens = text.split(given_text)
    assert "".join(tokens) == given_text
    assert len(tokens) == text.count(given_text)


@given(st.text(min_size=1, alphabet="ab"), st.text(alphabet="ab"), st.text(alphabet="ab"))
def test_texts_share_the_blocks_of_their_common_beginning_and_no_other(common: str, one: str, other: str) -> None:
    first, second = text.blocks(common + one, 1), text.blocks(common + other, 1)
    shared = sum(a == b for a, b in zip(first, second, strict=False))
    assert first[:shared] == second[:shared]
    same = next((i for i, (a, b) in enumerate(zip(common + one, common + other, strict=False)) if a != b), None)
    expected = (min(len(common + one), len(common + other)) if same is None else same) // text.TOKEN_CHARACTERS
    assert shared == expected


def test_the_next_turn_of_a_conversation_begins_with_the_blocks_of_this_one() -> None:
    prompt = "<user>Tell me of the sea, the sky and the old map of the bay.\n<assistant>"
    whole = prompt + said(prompt).text
    assert text.blocks(whole + "\n<user>Go on.\n<assistant>", 4)[: len(text.blocks(whole, 4))] == text.blocks(whole, 4)


def test_marks_in_the_last_message_steer_the_answer() -> None:
    assert len(said("[[tokens=37]]").tokens) == 37
    assert said("[[tokens=37]]", most=5).finish == "length"
    assert said("[[text=Oslo is in Norway.]]").text == "Oslo is in Norway."
    assert said("[[empty]]") == Answer(("",), "stop", None, good=False)
    assert said("[[refuse]]").text == REFUSAL
    assert said("[[refuse=small-model]]").text == REFUSAL
    assert said("[[refuse=large-model]]").text != REFUSAL
    assert text.answer("[[empty]] <user>And now?", "And now?", 0, Wish(100), MANNER).text != ""


def test_a_share_of_prompts_is_answered_badly_always_the_same_ones() -> None:
    poor = Manner("small-model", quality=0.8)
    bad = [number for number in range(2_000) if not said(f"question {number}", poor).good]
    assert 0.17 < len(bad) / 2_000 < 0.23
    assert {said(f"question {number}", poor).text for number in bad} == {"", REFUSAL}
    assert bad == [number for number in range(2_000) if not said(f"question {number}", poor).good]
    assert all(said(f"question {number}").good for number in bad)


def test_bad_answers_are_unsure() -> None:
    good, bad = text.logprobs(said("a question")), text.logprobs(said("[[refuse]]"))
    assert -0.33 < sum(good) / len(good) < 0
    assert -3.1 < sum(bad) / len(bad) < -2


def test_a_stop_text_ends_the_answer_before_it() -> None:
    assert said("[[text=one two three]]", stops=["three", " two"]) == Answer(("one",), "stop", " two")


def test_choices_of_one_prompt_differ() -> None:
    assert said("a question", choice=0).text != said("a question", choice=1).text


def test_benchmarks_get_answers_of_the_exact_length() -> None:
    answer = said("a question", most=123, to_the_end=True)
    assert (len(answer.tokens), answer.finish) == (123, "stop")
