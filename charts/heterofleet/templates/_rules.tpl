{{/*
What the operator may do, and why it must. Nothing on Secrets, no escalate, no bind: what a router's Role grants
(pods, its ConfigMap) the operator holds itself, as the API server demands of who writes a Role.
*/}}
{{- define "heterofleet.fleetRules" -}}
# Fleets belong to their users: the operator reads them and reports.
- apiGroups: [heterofleet.io]
  resources: [heterogeneousdeployments]
  verbs: [get, list, watch]
- apiGroups: [heterofleet.io]
  resources: [heterogeneousdeployments/status, heterogeneoustiers/status]
  verbs: [patch]
# The children of a fleet. Each kind is watched, applied (create and patch) and pruned (delete).
- apiGroups: [heterofleet.io]
  resources: [heterogeneoustiers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets, deployments, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Where these APIs are served.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [scheduling.k8s.io]
  resources: [podgroups]
  verbs: [get, list, watch, create, patch, delete]
# Ranks are labelled for a drain and deleted with their group.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
# May several pods share the claim of a model?
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "heterofleet.nodeRules" -}}
# GPUs that are free, nodes that are lost, cordoned or tainted.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end -}}
