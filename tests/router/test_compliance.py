"""What may pass: single rules as whole values, and that a stream lets through what the whole would."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heterofleet.api.compliance import Compliance, ComplianceAction, ComplianceRule, ComplianceScope
from heterofleet.router.compliance import Filter, InvalidRule, Redaction, Result, Rules, StreamFilter


def redact(
    name: str, pattern: str, by: str = "[redacted]", scope: ComplianceScope = ComplianceScope.BOTH
) -> ComplianceRule:
    return ComplianceRule(name=name, pattern=pattern, action=ComplianceAction.REDACT, replacement=by, scope=scope)


def deny(name: str, pattern: str, scope: ComplianceScope = ComplianceScope.BOTH) -> ComplianceRule:
    return ComplianceRule(name=name, pattern=pattern, action=ComplianceAction.DENY, scope=scope)


def answers(*rules: ComplianceRule, longest: int = 16) -> Filter:
    return Rules.compile(Compliance(rules=list(rules), max_match_characters=longest)).answer


CARD = redact("card", r"\b\d{4}-\d{4}\b", "****")
NAME = redact("name", r"(?i)ann\w*", "X")
BOMB = deny("bomb", r"(?i)bombs?")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("nothing of it", Result("nothing of it")),
        ("", Result("")),
        ("1234-5678, 1234-5678!", Result("****, ****!", None, (Redaction("card", 2),))),
        ("Annä 1234-5678 €", Result("Xä **** €", None, (Redaction("name", 1), Redaction("card", 1)))),
        ("Ann's bomb", Result("Ann's bomb", "bomb")),
        ("01234-5678", Result("01234-5678")),
    ],
)
def test_rules_redact_or_deny(text: str, result: Result):
    assert answers(CARD, NAME, BOMB).check(text) == result


def test_the_match_that_begins_first_counts_and_of_equals_that_of_the_earlier_rule():
    first, second = redact("ab", "ab", "1"), redact("bc", "bcd", "2")
    assert [answers(*rules).check("abcd bcd").text for rules in ((first, second), (second, first))] == [
        "1cd 2",
        "1cd 2",
    ]
    longer = redact("abc", "abc", "3")
    assert [answers(*rules).check("abc").text for rules in ((first, longer), (longer, first))] == ["1c", "3"]


def test_what_stands_in_place_of_a_match_is_not_looked_at():
    assert answers(redact("a", "a", "bb"), redact("b", "b", "a"), deny("bb", "bb")).check("ab") == Result(
        "bba", None, (Redaction("a", 1), Redaction("b", 1))
    )


def test_rules_hold_where_they_are_meant_to():
    rules = Rules.compile(
        Compliance(rules=[deny("in", "a", ComplianceScope.PROMPT), deny("out", "b", ComplianceScope.ANSWER)])
    )
    assert [rules.prompt.check("ab").denied, rules.answer.check("ab").denied] == ["in", "out"]


def test_no_rules_are_false_so_that_they_cost_nothing():
    empty = Rules.compile(Compliance())
    assert [bool(empty.prompt), bool(empty.answer), bool(answers(BOMB)), bool(answers(CARD))] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", r"compliance rule r: RE2 does not take its pattern \(missing \): \(\)"),
        ("(?=x)", r"RE2 does not take its pattern"),
        (r"(a)\1", r"RE2 does not take its pattern"),
        *(
            (empty, "compliance rule r: its pattern matches where there is nothing")
            for empty in ("a*", r"\b", "$", "ü|^")
        ),
        *((empty, "nothing to match") for empty in (r"é|\B", r"x|(?m)^\b", r"y|\A\z", r"(?m)z|^$", r"ü|\b$", "(?:a|)")),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_by_name(pattern: str, why: str):
    with pytest.raises(InvalidRule, match=why):
        Rules.compile(Compliance(rules=[deny("r", pattern)]))


def test_a_text_that_is_no_unicode_is_checked_all_the_same():
    assert answers(NAME).check("\ud800 ann").text.endswith(" X")


RULES = st.lists(
    st.sampled_from(
        [
            redact("run", "ab{1,6}", "<r>"),
            redact("word", r"\bfoo\b", "<w>"),
            redact("begin", "^b", "<b>"),
            redact("lines", r"(?m)^a$", "<l>"),
            redact("end", "(?:ab|é)$", "<e>"),
            redact("accent", "é(?:a|é)?", ""),
            redact("either", "b|ba?é?", "é"),
            deny("no", "ffoo"),
            deny("last", "oof$"),
            deny("sign", "(?i)É €"),
        ]
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda rule: rule.name,
)
TEXTS = st.lists(st.sampled_from(["a", "b", "f", "o", "foo", "é", "€", " ", "\n", "ab"]), max_size=60).map("".join)


@given(RULES, TEXTS, st.data())
@example([redact("run", "ab{1,6}", "<r>")], "x" * 17 + "abbbbbb", None)
def test_a_stream_lets_through_what_the_whole_would_however_it_is_cut(
    rules: list[ComplianceRule], text: str, data: st.DataObject | None
):
    subject = answers(*rules)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20))) if data else list(range(len(text)))
    stream = StreamFilter(subject)
    held, let_through = 0, ""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        let_through += stream.feed(text[start:end])
        held = max(held, len(stream._text))
    let_through += stream.flush()
    whole = subject.check(text)
    assert held <= subject.max_match_characters
    assert (stream.denied is None) is (whole.denied is None)
    if whole.denied is None:
        assert (let_through, sorted(stream.redactions)) == (whole.text, sorted(whole.redactions))


def test_a_stream_lets_nothing_of_a_denied_match_through():
    stream = StreamFilter(answers(BOMB))
    passed = [stream.feed(part) for part in ["safe " * 10, "bo", "m", "b", " and more" * 10]]
    assert (stream.denied, stream.feed("x"), stream.flush()) == ("bomb", "", "")
    assert ("safe " * 10).startswith("".join(passed))


def test_a_match_beyond_the_bound_is_replaced_piece_by_piece_but_never_let_through():
    stream = StreamFilter(answers(redact("digits", r"\d{4,}", "#")))
    passed = [stream.feed("1") for _ in range(100)]
    assert set("".join([*passed, stream.flush()])) == {"#"}
