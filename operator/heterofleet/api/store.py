"""Where routers keep what must outlive them."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import Model, ObjectName, Rule, SecretKey


class RedisStore(Model):
    """A server of the Redis protocol."""

    address: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}$", max_length=300)] = Field(
        description="host:port."
    )
    tls: bool = Field(False, description="Connect with TLS.")
    password_secret: SecretKey | None = Field(None, description="Where its password is; none unless given.")


class FileStore(Model):
    """A file on a volume, for one router."""

    persistent_volume_claim: ObjectName = Field(description="Claim of the volume.")


class Store(Model):
    """Where spend, reviews and shared cached answers are kept."""

    redis: RedisStore | None = Field(None, description="A server that all routers share.")
    file: FileStore | None = Field(
        None, description="A volume of the only router; while that is replaced, nobody answers."
    )

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.redis) && has(self.file))",
            message="a store is redis or file, not both: remove one",
            holds=lambda s: s.redis is None or s.file is None,
        ),
    )

    @property
    def given(self) -> bool:
        return self.redis is not None or self.file is not None
