"""Which part of a termination message is told."""

from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import termination

SUPERVISED = "the engine ended by itself with code 1: ValueError: no weights\nTraceback\n  File"


def test_a_cause_is_the_supervisor_s_first_line_or_the_end_of_what_was_killed() -> None:
    assert termination.cause(1, SUPERVISED) == "the engine ended by itself with code 1: ValueError: no weights"
    assert termination.cause(termination.KILLED, "loading\nserving") == "loading\nserving"
    assert termination.cause(1, "x" * 600 + "the end") == ("x" * 600 + "the end")[-termination.LONGEST_CAUSE :]


def test_what_is_kept_begins_with_the_cause_and_ends_with_the_end() -> None:
    first = SUPERVISED.partition("\n")[0]
    long = first + "\nframe" * 500 + "\nRuntimeError: see above"
    told = termination.kept(1, long, 200)
    assert (told.startswith(f"{first}\n"), told.endswith("RuntimeError: see above")) == (True, True)
    assert termination.kept(1, SUPERVISED, 200) == SUPERVISED
    assert termination.kept(termination.KILLED, long, 200) == long[-200:]


@given(st.sampled_from([1, termination.KILLED]), st.text(), st.integers(1, 600))
def test_no_more_is_kept_than_asked_for(exit_code: int, message: str, longest: int) -> None:
    assert len(termination.kept(exit_code, message, longest)) == min(len(message), longest)
