{{- define "framesift.name" -}}
{{ if contains "framesift" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-framesift{{ end }}
{{- end }}

{{- define "framesift.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
{{ include "framesift.selector" . }}
{{- end }}

{{- define "framesift.selector" -}}
app.kubernetes.io/name: framesift
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of a model's image the one with Ray, where the gallery is in shards. */}}
{{- define "framesift.image" -}}
{{ .root.Values.image.repository }}:{{ .tag }}{{ if include "framesift.sharded" .root }}-ray{{ end }}
{{- end }}

{{- define "framesift.sharded" -}}
{{ if ne .Values.cluster.kind "none" }}yes{{ end }}
{{- end }}

{{/* The gallery's folder of a model; another number of shards is another gallery. */}}
{{- define "framesift.folder" -}}
{{ .tag }}{{ if include "framesift.sharded" .root }}-{{ .root.Values.cluster.shards }}-shards{{ end }}
{{- end }}

{{/* Galleries of several models lie side by side: a new model's is filled while the old one's is searched. */}}
{{- define "framesift.galleryClaim" -}}
{{ .Values.gallery.existingClaim | default (printf "%s-gallery" (include "framesift.name" .)) }}
{{- end }}

{{- define "framesift.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAs }}
runAsGroup: {{ .Values.runAs }}
fsGroup: {{ .Values.runAs }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "framesift.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "framesift.probe" -}}
{{- if .secrets.clients }}
exec: {command: [python3, -P, -m, framesift.serving.server.probe{{ if .live }}, live{{ end }}]}
{{- else }}
httpGet: {path: /v2/health/{{ if .live }}live{{ else }}ready{{ end }}, port: grpc{{ if .secrets.tls }}, scheme: HTTPS{{ end }}}
{{- end }}
{{- end }}

{{- define "framesift.ray" -}}
{{ include "framesift.name" . | trunc 34 | trimSuffix "-" }}-ray
{{- end }}

{{/* A process of the cluster shows the token that all have. */}}
{{- define "framesift.rayEnv" -}}
{{- with .Values.cluster.tokenSecret }}
- {name: RAY_AUTH_MODE, value: token}
- {name: RAY_AUTH_TOKEN_PATH, value: /ray-token/token}
{{- end }}
{{- end }}

{{- define "framesift.rayMount" -}}
{{- with .Values.cluster.tokenSecret }}
- {name: ray-token, mountPath: /ray-token, readOnly: true}
{{- end }}
{{- end }}

{{- define "framesift.rayVolume" -}}
{{- with .Values.cluster.tokenSecret }}
- name: ray-token
  secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: token, path: token}]}
{{- end }}
{{- end }}
