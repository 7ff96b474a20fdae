"""Where downloaded weights lie between the starts of pods."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import Model, ObjectName, Quantity, Rule, Transition


class ClaimCache(Model):
    """An existing PersistentVolumeClaim; a tier of several pods needs ReadWriteMany."""

    claim_name: ObjectName = Field(description="Name of the claim, in the fleet's namespace.")


class HostPathCache(Model):
    """A folder of each node, which survives pods: each node downloads once."""

    path: Annotated[str, StringConstraints(pattern=r"^/[!-~]+$", max_length=512)] = Field(
        description="Absolute path; made where it is missing."
    )


class EmptyDirCache(Model):
    """A folder that lives and dies with its pod: each new pod downloads again."""

    size_limit: Quantity | None = Field(None, description="Most that the folder may hold; no limit unless given.")


class ModelCache(Model):
    """Where downloaded weights lie: exactly one of the three, emptyDir unless given. Its kind is immutable."""

    persistent_volume_claim: ClaimCache | None = None
    host_path: HostPathCache | None = None
    empty_dir: EmptyDirCache | None = None

    RULES: ClassVar = (
        Rule(
            cel="[has(self.persistentVolumeClaim), has(self.hostPath), has(self.emptyDir)].filter(x, x).size() == 1",
            message="storage.cache is exactly one of persistentVolumeClaim, hostPath or emptyDir: keep one",
            holds=lambda c: c.kind is not None,
        ),
    )
    TRANSITIONS: ClassVar = (
        Transition(
            cel="has(self.persistentVolumeClaim) == has(oldSelf.persistentVolumeClaim)"
            " && has(self.hostPath) == has(oldSelf.hostPath) && has(self.emptyDir) == has(oldSelf.emptyDir)",
            message="the kind of storage.cache is immutable: make a new fleet for another kind",
            holds=lambda new, old: new.kind == old.kind,
        ),
    )

    @property
    def kind(self) -> str | None:
        """The one field that is set, or None where it is not exactly one."""
        kinds = [name for name in ("persistent_volume_claim", "host_path", "empty_dir") if getattr(self, name)]
        return kinds[0] if len(kinds) == 1 else None


class Storage(Model):
    """Volumes of a tier's pods that outlive a process."""

    cache: ModelCache = Field(default_factory=lambda: ModelCache(empty_dir=EmptyDirCache()))
