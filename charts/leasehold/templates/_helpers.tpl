{{/* Name of all objects. */}}
{{- define "leasehold.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Name of the election and of its Lease. */}}
{{- define "leasehold.election" -}}
{{- .Values.election | default (include "leasehold.fullname" .) -}}
{{- end }}

{{- define "leasehold.serviceAccount" -}}
{{- .Values.serviceAccountName | default (include "leasehold.fullname" .) -}}
{{- end }}

{{- define "leasehold.image" -}}
{{- printf "%s:%s" .Values.image (.Values.imageTag | default .Chart.AppVersion) -}}
{{- end }}

{{/* "true" if candidates have records of their own, else empty. */}}
{{- define "leasehold.listMembers" -}}
{{- if kindIs "bool" .Values.listMembers }}{{ if .Values.listMembers }}true{{ end }}{{ else if eq .Values.mode "demo" }}true{{ end -}}
{{- end }}

{{/* "true" if the page is served, else empty. */}}
{{- define "leasehold.page" -}}
{{- if kindIs "bool" .Values.page }}{{ if .Values.page }}true{{ end }}{{ else if eq .Values.mode "demo" }}true{{ end -}}
{{- end }}

{{- define "leasehold.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leasehold.labels" -}}
{{ include "leasehold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Security context of every container: no privilege that it does not need. */}}
{{- define "leasehold.securityContext" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
readOnlyRootFilesystem: true
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{/* Service account token, mounted only into containers that send requests to the API server. */}}
{{- define "leasehold.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{- define "leasehold.tokenVolume" -}}
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3607 }
      - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
      - downwardAPI: { items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }] }
{{- end }}

{{/* A map as a JSON list of `key=value`. */}}
{{- define "leasehold.pairs" -}}
{{- $pairs := list -}}
{{- range $key, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $key $value) }}{{ end -}}
{{- toJson $pairs -}}
{{- end }}

{{/* The names of the Services and of the pods in the cluster's DNS, as a JSON list. */}}
{{- define "leasehold.hosts" -}}
{{- $hosts := list -}}
{{- $name := include "leasehold.fullname" . -}}
{{- range $service := list $name (printf "%s-members" $name) (printf ".%s-members" $name) -}}
{{- $full := printf "%s.%s" $service $.Release.Namespace -}}
{{- $hosts = concat $hosts (list $service $full (printf "%s.svc" $full) (printf "%s.svc.cluster.local" $full)) -}}
{{- end -}}
{{- toJson $hosts -}}
{{- end }}

{{/* The namespace of sessions, if it is another one than that of the release. */}}
{{- define "leasehold.sessionNamespace" -}}
{{- if and .Values.queue (ne .Values.sessionNamespace .Release.Namespace) -}}
{{- .Values.sessionNamespace -}}
{{- end -}}
{{- end }}

{{/* Options of `leasehold elect` that are values of the chart, as environment variables. */}}
{{- define "leasehold.env" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_UID
  valueFrom: { fieldRef: { fieldPath: metadata.uid } }
{{- if .Values.queue }}
- name: LEASEHOLD_QUEUE
  value: "true"
{{- end }}
{{- with include "leasehold.sessionNamespace" . }}
- name: LEASEHOLD_SESSION_NAMESPACE
  value: {{ . | quote }}
{{- end }}
- name: LEASEHOLD_TTL
  value: {{ .Values.ttl | quote }}
{{- with .Values.attempt }}
- name: LEASEHOLD_ATTEMPT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.grace }}
- name: LEASEHOLD_GRACE
  value: {{ . | quote }}
{{- end }}
- name: LEASEHOLD_OUTPUT
  value: {{ .Values.output }}
- name: LEASEHOLD_VERBOSE
  value: {{ .Values.verbose | quote }}
{{- with .Values.leaseLabels }}
- name: LEASEHOLD_LABELS
  value: {{ include "leasehold.pairs" . | fromJsonArray | join "," | quote }}
{{- end }}
{{- with .Values.leaseAnnotations }}
- name: LEASEHOLD_ANNOTATIONS
  value: {{ include "leasehold.pairs" . | fromJsonArray | join "\n" | quote }}
{{- end }}
- name: LEASEHOLD_SERVE
  value: {{ printf ":%v" .Values.servePort | quote }}
{{- if include "leasehold.page" . }}
- name: LEASEHOLD_PAGE
  value: "true"
- name: LEASEHOLD_ALLOW_HOST
  value: {{ include "leasehold.hosts" . | fromJsonArray | concat .Values.allowHosts | join "," | quote }}
{{- if and .Values.labelLeader (not .Values.appPort) }}
- name: LEASEHOLD_LEADER_URL
  value: http://{{ include "leasehold.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.servicePort }}
{{- end }}
{{- end }}
{{- if .Values.labelLeader }}
- name: LEASEHOLD_LABEL_LEADER
  value: "true"
{{- end }}
{{- if .Values.events }}
- name: LEASEHOLD_EVENTS
  value: "true"
{{- end }}
{{- end }}

{{/* Ready: a candidate that can compete. Alive: `/` answers 200 always, because an outage of the API server must not restart pods. */}}
{{- define "leasehold.serving" -}}
ports:
  - { name: leasehold, containerPort: {{ .Values.servePort }} }
  {{- if and .Values.appPort (eq .Values.mode "wrapper") }}
  - { name: app, containerPort: {{ .Values.appPort }} }
  {{- end }}
readinessProbe:
  httpGet: { path: /readyz, port: leasehold }
  periodSeconds: 2
  timeoutSeconds: 2
livenessProbe:
  httpGet: { path: /, port: leasehold }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* The leasehold container without a command, for modes demo and sidecar. */}}
{{- define "leasehold.alone" -}}
name: leasehold
image: {{ include "leasehold.image" . | quote }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
args: [elect, {{ include "leasehold.election" . | quote }}]
env:
  {{- include "leasehold.env" . | nindent 2 }}
{{ include "leasehold.serving" . }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "leasehold.securityContext" . | nindent 2 }}
volumeMounts:
  {{- include "leasehold.tokenMount" . | nindent 2 }}
{{- end }}

{{/* The user's container: fields that modes sidecar and wrapper share. */}}
{{- define "leasehold.app" -}}
name: app
image: {{ .Values.appImage | quote }}
imagePullPolicy: {{ .Values.appImagePullPolicy }}
{{- with .Values.appResources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- mergeOverwrite (include "leasehold.securityContext" . | fromYaml) (deepCopy .Values.appSecurityContext) | toYaml | nindent 2 }}
{{- end }}
