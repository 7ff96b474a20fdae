"""Where a Prometheus may be, and what goes along when it is asked."""

from pathlib import Path

import pydantic
import pytest

from heterofleet.metrics.samples import Loss, Lost
from heterofleet.metrics.source import Source
from heterofleet.metrics.sources import NOT_CONFIGURED, Sources

OWN = Source(url="http://own:9090/", token_file=Path("/token"), ca_file=Path("/ca"), allowed_urls=("https://other/",))


def test_another_prometheus_gets_no_credentials_and_the_same_trust():
    elsewhere = OWN.elsewhere("https://other")
    assert elsewhere == Source(url="https://other", ca_file=Path("/ca"), allowed_urls=("https://other",))


def test_naming_the_operators_own_prometheus_changes_nothing():
    assert OWN.elsewhere("http://own:9090") is OWN


@pytest.mark.parametrize("url", ["https://other.evil", "https://other:443", "http://other", "https://other/x"])
def test_an_address_that_nobody_allowed_is_refused(url: str):
    assert OWN.elsewhere(url) is None
    lost = Sources(OWN).reader(url)
    assert isinstance(lost, Lost)
    assert (lost.reason, url in lost.sentence) == (Loss.NOT_ALLOWED, True)


def test_without_an_address_no_prometheus_is_configured():
    assert Sources(Source()).reader(None) is NOT_CONFIGURED


async def test_one_address_is_one_reader_until_it_is_closed():
    sources = Sources(OWN)
    assert sources.reader(None) is sources.reader("http://own:9090/")
    assert sources.reader(None) is not sources.reader("https://other")
    sources.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "own:9090"}, "write http://HOST:PORT"),
        ({"url": "ftp://own"}, "write http://HOST:PORT"),
        ({"url": "http://"}, "write http://HOST:PORT"),
        ({"url": "http://me:secret@own"}, "credentials are files of a Secret"),
        ({"url": "http://own?a=b"}, "no query"),
        ({"token_file": "/t", "username": "me", "password_file": "/p"}, "exclude each other"),
        ({"username": "me"}, "belong together"),
        ({"password_file": "/p"}, "belong together"),
    ],
)
def test_a_source_that_cannot_be_asked_is_refused_with_what_to_write(fields: dict[str, str], said: str):
    with pytest.raises(pydantic.ValidationError) as caught:
        Source.model_validate(fields)
    assert said in str(caught.value)
