{{/*
What the operator may do, and why it must; a test runs it with these rights and sees each one used. Nothing on
Secrets, no escalate, no bind: what a router's Role grants the operator holds itself, as the API server demands of
who writes a Role.
*/}}
{{- define "heterofleet.fleetRules" -}}
# Fleets belong to their users: the operator reads them and reports.
- apiGroups: [heterofleet.io]
  resources: [heterogeneousdeployments]
  verbs: [list, watch]
- apiGroups: [heterofleet.io]
  resources: [heterogeneousdeployments/status, heterogeneoustiers/status]
  verbs: [patch]
# Children block their fleet's foreground deletion, which some clusters allow only to who may update its finalizers.
- apiGroups: [heterofleet.io]
  resources: [heterogeneousdeployments/finalizers]
  verbs: [update]
# A fleet's children: watched, read before a name is taken, applied (create and patch).
- apiGroups: [heterofleet.io]
  resources: [heterogeneoustiers]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch]
# Those that come and go with instances, revisions and what the spec asks for: deleted too.
- apiGroups: [apps]
  resources: [statefulsets, deployments, controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Has what makes small pods seen that their count was lowered?
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
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
  verbs: [list, watch, patch, delete]
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
  verbs: [list, watch]
{{- end -}}

{{- define "heterofleet.foreignPodRules" -}}
# GPUs that pods of other namespaces hold. A ClusterRole that watches all namespaces says so already.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}
