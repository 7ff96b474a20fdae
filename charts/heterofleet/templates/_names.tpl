{{/* Name of everything in the release's namespace; short enough for a Lease, a label and a pod's hash. */}}
{{- define "heterofleet.name" -}}
{{- if contains "heterofleet" .Release.Name -}}
{{- printf "%s-operator" (.Release.Name | trunc 40 | trimSuffix "-") -}}
{{- else -}}
{{- printf "%s-heterofleet-operator" (.Release.Name | trunc 28 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Name of what has no namespace. Operators of listed namespaces may stand side by side, so theirs says where. */}}
{{- define "heterofleet.clusterName" -}}
{{- if .Values.watchNamespaces -}}
{{- printf "%s-%s" (include "heterofleet.name" .) .Release.Namespace -}}
{{- else -}}
{{- include "heterofleet.name" . -}}
{{- end -}}
{{- end -}}

{{- define "heterofleet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "heterofleet.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "heterofleet.selectorLabels" -}}
app.kubernetes.io/name: heterofleet
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "heterofleet.labels" -}}
{{ include "heterofleet.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: heterofleet
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "heterofleet.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "heterofleet.routerImage" -}}
{{- .Values.defaultImages.router | default (printf "ghcr.io/heterofleet/router:%s" .Chart.AppVersion) -}}
{{- end -}}

{{/* The restricted profile of Pod Security Admission, and a root file system that cannot be written. */}}
{{- define "heterofleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "heterofleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
