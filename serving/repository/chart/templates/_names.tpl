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

{{- define "framesift.image" -}}
{{ .repository }}:{{ .tag }}
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
{{- if .tls }}
exec: {command: [python3, -P, -m, framesift.serving.server.probe{{ if .live }}, live{{ end }}]}
{{- else if .live }}
httpGet: {path: /v2/health/live, port: grpc}
{{- else }}
grpc: {port: 8001}
{{- end }}
{{- end }}
