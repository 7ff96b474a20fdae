{{/* The operator's settings (heterofleet.control.settings). Test-bed settings have no value here on purpose. */}}
{{- define "heterofleet.environment" -}}
- name: POD_NAME
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}
{{- with .Values.watchNamespaces }}
- name: HETEROFLEET_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: HETEROFLEET_ENGINE_IMAGE
  value: {{ .Values.defaultImages.engine | quote }}
- name: HETEROFLEET_ROUTER_IMAGE
  value: {{ include "heterofleet.routerImage" . | quote }}
- name: HETEROFLEET_WORKERS
  value: {{ .Values.workers | quote }}
- name: HETEROFLEET_RESYNC_SECONDS
  value: {{ .Values.resyncSeconds | quote }}
- name: HETEROFLEET_LEASE_NAME
  value: {{ include "heterofleet.name" . }}
- name: HETEROFLEET_LEASE_DURATION_SECONDS
  value: {{ .Values.leaderElection.durationSeconds | quote }}
- name: HETEROFLEET_LEASE_RENEW_DEADLINE_SECONDS
  value: {{ .Values.leaderElection.renewDeadlineSeconds | quote }}
- name: HETEROFLEET_LEASE_RETRY_PERIOD_SECONDS
  value: {{ .Values.leaderElection.retryPeriodSeconds | quote }}
{{- with .Values.prometheus }}
{{- /* An empty value is not stored, and would be another one at each apply by somebody else. */}}
{{- if .url }}
- name: HETEROFLEET_PROMETHEUS_URL
  value: {{ .url | quote }}
{{- end }}
{{- if .allowedUrls }}
- name: HETEROFLEET_PROMETHEUS_ALLOWED_URLS
  value: {{ join "," .allowedUrls | quote }}
{{- end }}
{{- if .bearerToken.secretName }}
- name: HETEROFLEET_PROMETHEUS_TOKEN_FILE
  value: {{ printf "/etc/heterofleet/prometheus/%s" .bearerToken.key | quote }}
{{- else if .basicAuth.secretName }}
- name: HETEROFLEET_PROMETHEUS_USERNAME
  value: {{ .basicAuth.username | quote }}
- name: HETEROFLEET_PROMETHEUS_PASSWORD_FILE
  value: {{ printf "/etc/heterofleet/prometheus/%s" .basicAuth.key | quote }}
{{- end }}
{{- if .tls.caConfigMap }}
- name: HETEROFLEET_PROMETHEUS_CA_FILE
  value: {{ printf "/etc/heterofleet/prometheus-ca/%s" .tls.caKey | quote }}
{{- end }}
- name: HETEROFLEET_PROMETHEUS_INSECURE_SKIP_VERIFY
  value: {{ .tls.insecureSkipVerify | quote }}
- name: HETEROFLEET_PROMETHEUS_TIMEOUT_SECONDS
  value: {{ .timeoutSeconds | quote }}
- name: HETEROFLEET_PROMETHEUS_STALE_AFTER_SECONDS
  value: {{ .staleAfterSeconds | quote }}
- name: HETEROFLEET_PROMETHEUS_THREADS
  value: {{ .threads | quote }}
- name: HETEROFLEET_PROMETHEUS_LARGEST_ANSWER_BYTES
  value: {{ .largestAnswerBytes | int64 | quote }}
{{- end }}
- name: HETEROFLEET_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: HETEROFLEET_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
{{- end -}}
