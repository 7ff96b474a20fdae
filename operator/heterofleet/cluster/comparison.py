"""Decides whether what the API server holds already says all that we want to say.

Stands between `desired` and a write: a manifest that is covered is not applied, so a second reconcile writes
nothing. The comparison is one-sided (desired is a subset of observed), since the server adds defaults and others
may add their own labels, containers or ports. It knows the four ways in which the server stores a thing
differently from how it was said: quantities are compared by value, ports as text, lists that server-side apply
merges are matched by their merge key, and what the server drops when empty is equal to absent.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from heterofleet.api.labels import Manifest

MERGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
"""The list-map keys of the built-in types (`x-kubernetes-list-map-keys` in the server's OpenAPI)."""

PORT_KEYS: Final = ("containerPort", "port")
"""Both kinds of `ports` are keyed by a number and the protocol; NetworkPolicy's is atomic and matches so as well."""

QUANTITY_MAPS: Final = frozenset({"limits", "requests", "capacity", "overhead"})
SCALARS: Final = frozenset({str, int, bool})
QUANTITIES: Final = frozenset({"sizeLimit", "divisor"})
TEXT_OR_NUMBER: Final = frozenset({"port", "targetPort", "maxUnavailable", "minAvailable", "maxSurge"})
"""IntOrString: a person may have written either; the number and its text select the same thing."""

FREE_MAPS: Final = (
    frozenset({"labels", "annotations", "matchLabels", "nodeSelector", "data", "binaryData", "stringData", "selector"})
    | QUANTITY_MAPS
)
"""Maps that the server does not store when they are empty; an empty structure (`emptyDir: {}`) it does store."""

OMITTED_ZEROS: Final = frozenset(
    {
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "stdin",
        "stdinOnce",
        "tty",
        "readOnly",
        "publishNotReadyAddresses",
        "paused",
        "minReadySeconds",
    }
)
"""Plain Go fields with omitempty: their false or 0 is never stored. Pointer fields keep theirs."""

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+)(?:([KMGTPE]i)|[eE]([+-]?[0-9]+)|([numkMGTPE]?))")


def quantity(text: object) -> Decimal | None:
    """Gives the value of a Kubernetes quantity, or None for what is not one."""
    matched = _QUANTITY.fullmatch(str(text))
    if matched is None or isinstance(text, bool):
        return None
    number, binary, exponent, suffix = matched.groups()
    try:
        value = Decimal(number)
    except ArithmeticError:
        return None
    if binary:
        return value * _BINARY[binary]
    return value.scaleb(int(exponent) if exponent else _DECIMAL[suffix])


def covers(observed: Manifest, desired: Manifest) -> tuple[str, ...]:
    """Gives the dotted paths at which `observed` does not say what `desired` says; () when it says it all."""
    missing: list[str] = []
    _compare_maps(observed, desired, "", "", missing)
    return tuple(missing)


def _compare(observed: Any, desired: Any, key: str, path: str, missing: list[str]) -> None:
    if isinstance(desired, dict) and isinstance(observed, dict):
        _compare_maps(observed, desired, key, path, missing)
    elif isinstance(desired, list | tuple) and isinstance(observed, list | tuple):
        _compare_lists(observed, desired, key, path, missing)
    elif not _same_scalar(observed, desired, key):
        missing.append(path)


def _compare_maps(
    observed: Mapping[str, Any], desired: Mapping[str, Any], key: str, path: str, missing: list[str]
) -> None:
    quantities = key in QUANTITY_MAPS
    for name, value in desired.items():
        have = observed.get(name)
        if value is None:
            continue  # A null in an apply says nothing about the field.
        if type(value) is type(have) and type(value) in SCALARS and value == have:
            continue  # Nearly always so; a quarter of a reconcile went into finding that out the long way.
        here = f"{path}.{name}" if path else name
        if have is None:
            if not _stored_as_absent(value, name):
                missing.append(here)
        elif quantities and not isinstance(value, dict):
            if not _same_quantity(have, value):
                missing.append(here)
        else:
            _compare(have, value, name, here, missing)


def _compare_lists(observed: Sequence[Any], desired: Sequence[Any], key: str, path: str, missing: list[str]) -> None:
    if observed == desired:
        return
    merge_key = _merge_key(key, desired)
    if merge_key:
        by_key = {_identity(item, merge_key): item for item in observed if isinstance(item, dict)}
        for item in desired:
            identity = _identity(item, merge_key)
            here = f"{path}[{','.join(str(part) for part in identity)}]"
            if identity in by_key:
                _compare(by_key[identity], item, key, here, missing)
            else:
                missing.append(here)
    elif key == "finalizers":
        missing.extend(f"{path}[{item}]" for item in desired if item not in observed)
    elif len(observed) != len(desired):
        missing.append(path)
    else:
        for index, (have, want) in enumerate(zip(observed, desired, strict=True)):
            _compare(have, want, key, f"{path}[{index}]", missing)


def _merge_key(key: str, desired: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(item, dict) for item in desired):
        return ()
    if key == "ports":
        number = next((name for name in PORT_KEYS if all(name in item for item in desired)), None)
        return (number, "protocol") if number else ()
    merge_key = MERGE_KEYS.get(key, ())
    return merge_key if all(name in item for item in desired for name in merge_key) else ()


def _identity(item: Mapping[str, Any], merge_key: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(str(item.get(name, "TCP" if name == "protocol" else "")) for name in merge_key)


def _stored_as_absent(value: Any, name: str) -> bool:
    if value in ("", [], ()):
        return True
    if isinstance(value, dict):
        return not value and name in FREE_MAPS
    return not value and name in OMITTED_ZEROS


def _same_scalar(observed: Any, desired: Any, key: str) -> bool:
    if isinstance(observed, bool) or isinstance(desired, bool):
        return observed is desired
    if key in QUANTITIES:
        return _same_quantity(observed, desired)
    if key in TEXT_OR_NUMBER:
        return str(observed) == str(desired)
    return bool(observed == desired)


def _same_quantity(observed: object, desired: object) -> bool:
    if observed == desired:
        return True
    value = quantity(desired)
    return value is not None and value == quantity(observed)
