{{/* The operator's settings (heterofleet.control.settings). Test-bed settings have no value here on purpose. */}}
{{- define "heterofleet.environment" -}}
- name: HETEROFLEET_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: HETEROFLEET_POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: HETEROFLEET_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: HETEROFLEET_ENGINE_IMAGE
  value: {{ .Values.defaultImages.engine | quote }}
- name: HETEROFLEET_ROUTER_IMAGE
  value: {{ include "heterofleet.routerImage" . | quote }}
- name: HETEROFLEET_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: HETEROFLEET_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
{{- end -}}
