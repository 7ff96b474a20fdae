"""Whose key it is: what a file of keys may say, and which headers carry one."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import auth
from heterofleet.router.auth import InvalidKeys, Keys

ALICE = "sk-alice"
ALICE_NEXT = "sk-alice-next"
BOB = "sk-bob"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def keys() -> Keys:
    return Keys.parse(
        {
            "alice": f"# since May\n{digest(ALICE)}  # laptop\n\n{digest(ALICE_NEXT).upper()}\r\n",
            "bob": digest(BOB),
        }
    )


@pytest.mark.parametrize(
    ("header", "tenant"),
    [
        (f"Bearer {ALICE}", "alice"),
        (f"Bearer {ALICE_NEXT}", "alice"),
        (f"bearer   {BOB} ", "bob"),
        (b"Bearer sk-bob", "bob"),
        ("Bearer sk-carol", None),
        (f"Bearer {digest(BOB)}", None),
        (f"Basic {BOB}", None),
        (BOB, None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        (None, None),
        (b"Bearer \xff\xfe", None),
        ("Bearer \udcff键", None),
    ],
)
def test_a_bearer_key_names_its_tenant_and_nothing_else_does(header: str | bytes | None, tenant: str | None):
    known = keys()
    assert [known.tenant_of(header), known.tenant_of(header)] == [tenant, tenant]


def test_all_keys_of_a_tenant_count_while_they_are_rotated():
    known = keys()
    assert (len(known), known.tenants) == (3, frozenset({"alice", "bob"}))


def test_a_header_beyond_every_key_is_not_even_hashed():
    long = "x" * (auth.LONGEST_HEADER + 1)
    assert Keys.parse({"alice": digest(long)}).tenant_of(f"Bearer {long}") is None


def test_no_keys_at_all_let_nobody_in():
    assert Keys.parse({}).tenant_of(f"Bearer {ALICE}") is None


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({"alice": f"{digest(ALICE)}\nsk-secret"}, r"line 2 of tenant alice is not a SHA-256 in hex"),
        ({"alice": digest(ALICE)[:-1]}, r"line 1 of tenant alice is not a SHA-256 in hex"),
        ({"alice": digest(ALICE), "bob": digest(ALICE)}, r"line 1 of tenant bob is also a key of tenant alice"),
        ({"sk-Secret!": digest(ALICE)}, r"an entry of the keys is not called like a tenant"),
    ],
)
def test_a_bad_file_is_refused_by_a_sentence_that_shows_nothing_of_it(texts: dict[str, str], sentence: str):
    with pytest.raises(InvalidKeys, match=sentence) as refusal:
        Keys.parse(texts)
    assert "ecret" not in str(refusal.value)
    assert digest(ALICE)[:8] not in str(refusal.value)


def test_neither_keys_nor_hashes_show_when_the_value_is_printed():
    known = keys()
    known.tenant_of(f"Bearer {ALICE}")
    assert repr(known) == str(known) == "<Keys: 3 of 2 tenants>"


def test_remembered_headers_are_bounded_and_forgetting_changes_no_answer():
    known = keys()
    variants = [f"Bearer{' ' * n}{ALICE}" for n in range(1, 500)] * (auth.REMEMBERED_HEADERS // 400)
    many = Keys.parse({"alice": "\n".join(digest(str(n)) for n in range(auth.REMEMBERED_HEADERS + 50))})
    assert {known.tenant_of(header) for header in variants} == {"alice"}
    for _ in range(2):
        assert {many.tenant_of(f"Bearer {n}") for n in range(auth.REMEMBERED_HEADERS + 50)} == {"alice"}
    assert len(many._known) == auth.REMEMBERED_HEADERS


@given(st.one_of(st.text(), st.binary()))
def test_whatever_a_header_holds_is_answered(header: str | bytes):
    assert keys().tenant_of(header) is None
