{{- /* Templates for the steps of pod.yaml; the loader puts them before each template there. */ -}}
{{- define "conditions" }}
conditions:
- {type: Initialized, status: {{ .initialized | toString | title | Quote }}, lastTransitionTime: {{ Now | Quote }}}
{{- range (list "ContainersReady" "Ready") }}
- type: {{ . }}
  status: {{ $.ready | toString | title | Quote }}
  reason: {{ (ternary "" "ContainersNotReady" $.ready) | Quote }}
  message: {{ $.message | Quote }}
  lastTransitionTime: {{ Now | Quote }}
{{- end }}
{{- end }}

{{- define "addresses" }}
{{- if not .status.podIP }}
{{- $meta := .metadata }}
{{- $address := PodIPWith .spec.nodeName (or .spec.hostNetwork false) $meta.uid $meta.name $meta.namespace }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ $address | Quote }}
podIPs: [{ip: {{ $address | Quote }}}]
{{- end }}
{{- if not .status.startTime }}
startTime: {{ Now | Quote }}
{{- end }}
{{- end }}

{{- define "completedInit" }}
{{- if .spec.initContainers }}
initContainerStatuses:
{{- range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: {{ .image | Quote }}
  ready: true
  started: false
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ Now | Quote }}, finishedAt: {{ Now | Quote }}}}
{{- end }}
{{- end }}
{{- end }}

{{- /* Every container runs. restarted: the first one is a new run of one that exited.
The pod is Ready at now + delay, or at a random instant up to now + jitter-delay where that is given too. */ -}}
{{- define "started" }}
{{- $pod := .pod }}
{{- $restarted := .restarted }}
{{- $marks := or $pod.metadata.annotations dict }}
{{- $unready := eq (or (index $marks "testbed.heterofleet.io/ready") "") "false" }}
{{- $lasts := index $marks "testbed.heterofleet.io/crash-loop-after" }}
{{- $loops := and (index $marks "testbed.heterofleet.io/crash-loop") (not $lasts) }}
{{- $delay := or (index $marks "pod-ready.stage.kwok.x-k8s.io/delay") "0s" }}
{{- $latest := or (index $marks "pod-ready.stage.kwok.x-k8s.io/jitter-delay") $delay }}
{{- $now := now }}
{{- $from := date_modify $delay $now }}
{{- $at := date_modify $latest $now }}
{{- $span := sub $at.UnixMilli $from.UnixMilli }}
{{- if gt $span 0 }}{{ $at = date_modify (printf "%dms" (randInt 0 (int $span))) $from }}{{ end }}
{{- $starting := gt (sub $at.UnixMilli $now.UnixMilli) 0 }}
{{- $ready := not (or $unready $loops $starting) }}
{{- $message := ternary "" (printf "starting, ready at %s" ($at.UTC.Format "2006-01-02T15:04:05.000Z")) $ready }}
{{- template "conditions" (dict "initialized" true "ready" $ready "message" $message) }}
{{- template "addresses" $pod }}
{{- template "completedInit" $pod }}
{{- $statuses := or $pod.status.containerStatuses list }}
containerStatuses:
{{- range $index, $container := $pod.spec.containers }}
{{- $previous := dict }}
{{- if lt $index (len $statuses) }}{{ $previous = index $statuses $index }}{{ end }}
{{- $restarts := or $previous.restartCount 0 | toString | atoi }}
{{- $last := or $previous.lastState dict }}
{{- if and $restarted (eq $index 0) }}
{{- $restarts = add1 $restarts }}
{{- if $previous.state.terminated }}{{ $last = dict "terminated" $previous.state.terminated }}{{ end }}
{{- end }}
- name: {{ $container.name | Quote }}
  image: {{ $container.image | Quote }}
  imageID: {{ $container.image | Quote }}
  containerID: {{ printf "kwok://%s/%s/%v" $pod.metadata.uid $container.name $restarts | Quote }}
  ready: {{ $ready }}
  started: {{ $ready }}
  restartCount: {{ $restarts }}
  state: {running: {startedAt: {{ Now | Quote }}}}
  lastState: {{ $last | toJson }}
{{- end }}
phase: Running
{{- end }}

{{- /* The first container exited as `how` says: an exit code, exit-N or oom. */ -}}
{{- define "exited" }}
{{- $pod := .pod }}
{{- $how := .how }}
{{- $code := ternary "137" (trimPrefix "exit-" $how) (eq $how "oom") }}
{{- $reason := ternary "OOMKilled" (ternary "Completed" "Error" (eq $code "0")) (eq $how "oom") }}
{{- $marks := or $pod.metadata.annotations dict }}
{{- $message := or (index $marks "testbed.heterofleet.io/crash-message") "" }}
{{- $unready := printf "containers with unready status: [%s]" (index $pod.spec.containers 0).name }}
{{- template "conditions" (dict "initialized" true "ready" false "message" $unready) }}
containerStatuses:
{{- range $index, $status := $pod.status.containerStatuses }}
{{- if eq $index 0 }}
- name: {{ $status.name | Quote }}
  image: {{ $status.image | Quote }}
  imageID: {{ $status.imageID | Quote }}
  containerID: {{ $status.containerID | Quote }}
  ready: false
  started: false
  restartCount: {{ $status.restartCount }}
  lastState: {{ or $status.lastState dict | toJson }}
  state:
    terminated:
      containerID: {{ $status.containerID | Quote }}
      exitCode: {{ $code }}
      reason: {{ $reason }}
      message: {{ $message | Quote }}
      startedAt: {{ $status.state.running.startedAt | Quote }}
      finishedAt: {{ Now | Quote }}
{{- else }}
- {{ $status | toJson }}
{{- end }}
{{- end }}
{{- if eq $pod.spec.restartPolicy "Never" }}
phase: Failed
{{- end }}
{{- end }}

{{- /* The first container waits for `reason`; the others stay as they were. */ -}}
{{- define "waits" }}
{{- $pod := .pod }}
{{- $reason := .reason }}
{{- $message := .message }}
{{- $statuses := or $pod.status.containerStatuses list }}
{{- $unready := printf "containers with unready status: [%s]" (index $pod.spec.containers 0).name }}
{{- template "conditions" (dict "initialized" true "ready" false "message" $unready) }}
{{- template "addresses" $pod }}
containerStatuses:
{{- range $index, $container := $pod.spec.containers }}
{{- $previous := dict }}
{{- if lt $index (len $statuses) }}{{ $previous = index $statuses $index }}{{ end }}
{{- $last := or $previous.lastState dict }}
{{- $state := or $previous.state dict }}
{{- if $state.terminated }}{{ $last = dict "terminated" $state.terminated }}{{ end }}
- name: {{ $container.name | Quote }}
  image: {{ $container.image | Quote }}
  imageID: {{ $container.image | Quote }}
  ready: false
  started: false
  restartCount: {{ or $previous.restartCount 0 }}
  lastState: {{ $last | toJson }}
  state: {waiting: {reason: {{ $reason | Quote }}, message: {{ $message | Quote }}}}
{{- end }}
{{- end }}
