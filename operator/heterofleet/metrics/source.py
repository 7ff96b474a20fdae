"""Where a Prometheus is, and how it is asked: part of the operator's settings, never of a fleet's spec.

A fleet may name another Prometheus (spec.scaling.prometheusUrl) of those that are allowed here; it is asked without
credentials, since those are for the one that they were given for.
"""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import pydantic


class Source(pydantic.BaseModel):
    """One Prometheus, or none where `url` is empty. Credentials are files, read anew for each question."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    url: str = ""
    token_file: Path | None = None
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    insecure_skip_verify: bool = False
    timeout_seconds: Annotated[float, pydantic.Field(gt=0, le=120)] = 10
    stale_after_seconds: Annotated[float, pydantic.Field(ge=10, le=3600)] = 180
    threads: Annotated[int, pydantic.Field(ge=1, le=32)] = 4
    largest_answer_bytes: Annotated[int, pydantic.Field(ge=1024, le=1 << 30)] = 16 << 20
    allowed_urls: tuple[str, ...] = ()

    @pydantic.field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return _address(url) if url else url

    @pydantic.field_validator("allowed_urls")
    @classmethod
    def _are_addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(url) for url in urls)

    @pydantic.model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.token_file is not None and (self.username or self.password_file is not None):
            raise ValueError("a token and a password exclude each other: give one of them")
        if bool(self.username) != (self.password_file is not None):
            raise ValueError("a user name and a file with the password belong together: give both or none")
        return self

    def elsewhere(self, url: str) -> "Source | None":
        """The source for a fleet that names `url`; None where that is not allowed."""
        wanted = url.rstrip("/")
        if wanted == self.url:
            return self
        if wanted not in self.allowed_urls:
            return None
        return self.model_copy(update={"url": wanted, "token_file": None, "username": "", "password_file": None})


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a Prometheus: write http://HOST:PORT or https://HOST:PORT/PATH")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address holds no credentials, no query and no fragment: credentials are files of a Secret")
    return url.rstrip("/")
