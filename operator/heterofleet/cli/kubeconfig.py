"""Which cluster and namespace a command means, read from the kubeconfig before anything is asked.

The connection itself reads the credentials again with Kubernetes' own library; here it is only the names, so
that a wrong one is answered in a sentence that lists the right ones.
"""

import argparse
import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from heterofleet.cli.errors import CliError

_DEFAULT: Final = "~/.kube/config"
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Target(NamedTuple):
    """What a command is about; `context` is empty inside a pod, which speaks with its own account."""

    kubeconfig: Path | None
    context: str
    namespace: str
    server: str


def target(options: argparse.Namespace) -> Target:
    """Find the context that the options and the environment name.

    Raises CliError when there is none, or when a file is no kubeconfig.
    """
    asked: str | None = options.kubeconfig
    if asked is None and options.context is None and not os.environ.get("KUBECONFIG") and _inside_a_pod():
        return Target(None, "", options.namespace or _own_namespace(), "the cluster of this pod")
    files = [asked] if asked else (os.environ.get("KUBECONFIG") or _DEFAULT).split(os.pathsep)
    merged = _merged(list(_read(files)))
    if not merged.contexts:
        raise CliError(f"no cluster is configured in {_where(files)}: set KUBECONFIG or pass --kubeconfig FILE")
    name = options.context or merged.current
    if not name:
        raise CliError(f"no context is chosen: pass --context NAME, one of {', '.join(merged.contexts)}")
    if name not in merged.contexts:
        close = difflib.get_close_matches(name, merged.contexts, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(merged.contexts)}"
        raise CliError(f"context {name} is not in {_where(files)}; {hint}")
    context = merged.contexts[name]
    for kind, known in (("cluster", merged.servers), ("user", merged.users)):
        if str(context.get(kind)) not in known:
            raise CliError(f"context {name} names the {kind} {context.get(kind)}, which is not in {_where(files)}")
    namespace = options.namespace or str(context.get("namespace") or "default")
    server = merged.servers[str(context["cluster"])]
    return Target(Path(asked).expanduser() if asked else None, name, namespace, server)


class _Merged(NamedTuple):
    current: str
    contexts: Mapping[str, Mapping[str, Any]]
    servers: Mapping[str, str]
    users: frozenset[str]


def _read(files: list[str]) -> Iterator[Mapping[str, Any]]:
    for name in files:
        file = Path(name).expanduser()
        try:
            # Administrators' kubeconfigs hold certificates, which the fast loader reads ten times as fast.
            content = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except FileNotFoundError as error:
            # As for kubectl, files of a list may be missing, and one that was asked for may not.
            if len(files) == 1 and name != _DEFAULT:
                raise CliError(f"kubeconfig {name}: no such file") from error
            continue
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise CliError(f"kubeconfig {name} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(content, Mapping):
            raise CliError(f"kubeconfig {name} is not a kubeconfig")
        yield content


def _merged(contents: list[Mapping[str, Any]]) -> _Merged:
    contexts: dict[str, Mapping[str, Any]] = {}
    servers: dict[str, str] = {}
    for content in contents:
        for entry in content.get("contexts") or ():
            contexts.setdefault(str(entry["name"]), entry.get("context") or {})
        for entry in content.get("clusters") or ():
            servers.setdefault(str(entry["name"]), str((entry.get("cluster") or {}).get("server", "")))
    users = frozenset(str(entry["name"]) for content in contents for entry in content.get("users") or ())
    current = next((str(content["current-context"]) for content in contents if content.get("current-context")), "")
    return _Merged(current, contexts, servers, users)


def _where(files: list[str]) -> str:
    return f"$KUBECONFIG ({os.pathsep.join(files)})" if len(files) > 1 else files[0]


def _inside_a_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and not Path(_DEFAULT).expanduser().exists()


def _own_namespace() -> str:
    try:
        return _POD_NAMESPACE.read_text().strip()
    except OSError:
        return "default"
