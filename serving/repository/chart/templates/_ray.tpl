{{/* How a node of the Ray cluster is started: options of `ray start`, the same by KubeRay and without. */}}
{{- define "framesift.rayOptions" -}}
{{- $cluster := .root.Values.cluster }}
node-manager-port: "6380"
object-manager-port: "6381"
{{- if eq .role "head" }}
port: "6379"
num-cpus: "0"
num-gpus: "0"
include-dashboard: "false"
object-store-memory: {{ mul 128 1048576 | quote }}
{{- else }}
num-cpus: {{ $cluster.processors | quote }}
num-gpus: {{ $cluster.gpus | quote }}
object-store-memory: {{ mul (int64 $cluster.objectStore) 1048576 | quote }}
# What actors may take: the pod's memory without Ray's own.
memory: {{ mul (sub (int64 $cluster.memory) (add (int64 $cluster.objectStore) 512)) 1048576 | quote }}
{{- end }}
{{- end }}

{{/* A pod of the Ray cluster: its head, on which nothing is placed, or a worker, on which shards are searched. */}}
{{- define "framesift.rayPod" -}}
{{- $values := .root.Values }}
{{- $cluster := $values.cluster }}
metadata:
  labels:
    {{- include "framesift.selector" .root | nindent 4 }}
    app.kubernetes.io/component: ray-{{ .role }}
    {{- with $values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "framesift.name" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  {{- with $values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClass }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext: {{- include "framesift.podSecurity" .root | nindent 4 }}
  {{- if and (eq .role "worker") (eq $cluster.kind "statefulset") }}
  initContainers:
    # KubeRay has its own.
    - name: wait
      image: {{ include "framesift.image" (dict "root" .root "tag" $values.image.tag) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      securityContext: {{- include "framesift.containerSecurity" .root | nindent 8 }}
      command: [python3, -P, -m, framesift.serving.indexing.ray_node, {{ include "framesift.ray" .root }}:6379]
      resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
  {{- end }}
  containers:
    - name: ray
      image: {{ include "framesift.image" (dict "root" .root "tag" $values.image.tag) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      securityContext: {{- include "framesift.containerSecurity" .root | nindent 8 }}
      {{- if eq $cluster.kind "statefulset" }}
      command: [ray, start, --block]
      args:
        {{- if eq .role "head" }}
        - --head
        {{- else }}
        - --address={{ include "framesift.ray" .root }}:6379
        {{- end }}
        {{- range $name, $value := include "framesift.rayOptions" . | fromYaml }}
        - --{{ $name }}={{ $value }}
        {{- end }}
      {{- end }}
      ports:
        {{- if eq .role "head" }}
        - {name: gcs-server, containerPort: 6379}
        {{- end }}
        - {name: raylet, containerPort: 6380}
        - {name: objects, containerPort: 6381}
      env:
        # In a container's log, not in files.
        - {name: RAY_LOG_TO_STDERR, value: "1"}
        {{- include "framesift.rayEnv" .root | nindent 8 }}
        {{- with $values.videoLimits }}
        - {name: FRAMESIFT_VIDEO_LIMITS, value: {{ . | quote }}}
        {{- end }}
        {{- with $cluster.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- if eq .role "head" }}
      resources: {{- toYaml $cluster.headResources | nindent 8 }}
      {{- else }}
      resources:
        requests: {cpu: {{ $cluster.processors | quote }}, memory: {{ $cluster.memory }}Mi}
        limits:
          memory: {{ $cluster.memory }}Mi
          {{- if $cluster.gpus }}
          nvidia.com/gpu: {{ $cluster.gpus }}
          {{- end }}
      {{- end }}
      {{- $probe := dict "port" (ternary 6379 6380 (eq .role "head")) }}
      startupProbe:
        grpc: {{- toYaml $probe | nindent 10 }}
        periodSeconds: 2
        failureThreshold: 150
      readinessProbe:
        grpc: {{- toYaml $probe | nindent 10 }}
        periodSeconds: 5
        timeoutSeconds: 5
      livenessProbe:
        grpc: {{- toYaml $probe | nindent 10 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      volumeMounts:
        - {name: memory, mountPath: /dev/shm}
        - {name: scratch, mountPath: /tmp}
        {{- include "framesift.rayMount" .root | nindent 8 }}
        {{- if eq .role "worker" }}
        - {name: gallery, mountPath: /gallery}
        {{- if $values.indexing.videosClaim }}
        - {name: videos, mountPath: /videos, readOnly: true}
        {{- end }}
        {{- end }}
  volumes:
    - name: memory
      emptyDir: {medium: Memory, sizeLimit: {{ add 64 (ternary 128 (int64 $cluster.objectStore) (eq .role "head")) }}Mi}
    - name: scratch
      emptyDir: {sizeLimit: {{ $values.scratch }}}
    {{- include "framesift.rayVolume" .root | nindent 4 }}
    {{- if eq .role "worker" }}
    - name: gallery
      persistentVolumeClaim: {claimName: {{ include "framesift.galleryClaim" .root }}}
    {{- with $values.indexing.videosClaim }}
    - name: videos
      persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
    {{- end }}
    {{- end }}
  {{- with $cluster.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cluster.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $cluster.topologySpread }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
