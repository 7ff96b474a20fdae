"""Decides what a router may do in the cluster: watch the pods of its namespace and read its own configuration.

RBAC cannot narrow a watch to labels, so pods are readable in the whole namespace; nothing can be written, and no
Secret can be read. A router lists and watches and asks for nothing by its name.
"""

from typing import Final

from heterofleet.api.labels import Component, Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names

_READ: Final = ("list", "watch")


def router_access(fleet: HeterogeneousDeployment) -> tuple[Manifest, ...]:
    """The routers' ServiceAccount, Role and RoleBinding."""
    name = names.router(fleet.metadata.name)
    selector = names.router_selector(fleet.metadata.name)
    account, role, binding = (
        children.child(fleet, kind, name, selector, Component.ROUTER)
        for kind in (children.SERVICE_ACCOUNT, children.ROLE, children.ROLE_BINDING)
    )
    return (
        {**account, "automountServiceAccountToken": False},
        {
            **role,
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": list(_READ)},
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": list(_READ)},
            ],
        },
        {
            **binding,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": fleet.metadata.namespace}],
        },
    )
