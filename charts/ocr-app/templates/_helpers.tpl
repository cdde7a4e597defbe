{{/*
What every role has in common. A role is a dict:
  root       the chart's context
  role       first argument of the image and value of app.kubernetes.io/component
  name       name of the Deployment
  namespace  where it is installed
  values     the role's part of values.yaml
  env        list of environment variables of the role
  envSecret  optional name of a Secret that becomes environment variables
  account    optional name of a ServiceAccount whose token the pods hold
  claims     optional claims to mount: list of {name, claim, path}
  apart      optional role whose nodes this one avoids where it can
  oneAtATime optional: an update stops a pod before it starts the next
  serviceName optional name of the Service where it is not the Deployment's
  servicePort optional port of the Service where it is not the container's
  headless   optional: the Service's name resolves to the pods
  nearby     optional: who runs on a node with a pod of the role is led to that one
*/}}

{{- define "ocr-app.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "ocr-app.labels" -}}
{{ include "ocr-app.selector" . }}
app.kubernetes.io/part-of: platen
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "ocr-app.image" -}}
{{- with .Values.image -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- if .digest }}@{{ .digest }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "ocr-app.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "ocr-app.labels" . | nindent 4 }}
spec:
  {{- if not (include "ocr-app.scales" .) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 300
  strategy:
    {{- if .oneAtATime }}
    # Two pods would write to one file.
    type: Recreate
    {{- else }}
    type: RollingUpdate
    # A working pod goes only after its replacement is ready.
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
    {{- end }}
  selector:
    matchLabels:
      {{- include "ocr-app.selector" . | nindent 6 }}
  template:
    metadata:
      # Only what names the pod: a version here would restart every role at every release of the chart.
      labels:
        {{- include "ocr-app.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: platen
      {{- if or .root.Values.monitoring.annotations .values.envChecksum }}
      annotations:
        {{- with .values.envChecksum }}
        checksum/env: {{ . }}
        {{- end }}
      {{- end }}
      {{- if .root.Values.monitoring.annotations }}
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ .values.port | quote }}
        prometheus.io/path: /metrics
      {{- end }}
    spec:
      {{- include "ocr-app.podSpec" . | nindent 6 }}
{{- end }}

{{/* What answers the platform's own callers is back first; the others follow one by one. */}}
{{- define "ocr-app.tolerationSeconds" -}}
{{- $nodeFailure := .root.Values.nodeFailure -}}
{{- $order := list "model" "gateway" "ocr-server" "frontend" "translate" "experiments" -}}
{{- if not (has .role $order) }}{{ fail (printf "%s has no place in ocr-app.tolerationSeconds" .role) }}{{ end -}}
{{- range $place, $role := $order -}}
{{- if eq $role $.role -}}
{{- add $nodeFailure.tolerationSeconds (mul $place $nodeFailure.staggerSeconds) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ocr-app.podSpec" -}}
{{- with .account -}}
serviceAccountName: {{ . }}
{{ end -}}
# Only who asks the API server has a token for it.
automountServiceAccountToken: {{ not (empty .account) }}
# Service variables (OCR_MODEL_PORT=tcp://…) would be taken for the service's own settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .root.Values.drain.gracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
tolerations:
  {{- range $taint := list "not-ready" "unreachable" }}
  - key: node.kubernetes.io/{{ $taint }}
    operator: Exists
    effect: NoExecute
    tolerationSeconds: {{ include "ocr-app.tolerationSeconds" $ }}
  {{- end }}
  {{- with .values.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
# Strict within a role: one dead node never takes all of it. Counted for each revision apart (pod-template-hash), or
# the old pods of a rolling update would push the new ones together.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: DoNotSchedule
    nodeTaintsPolicy: Honor
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "ocr-app.selector" . | nindent 8 }}
{{- with .apart }}
# Between the roles only a wish: with as many pods of each as nodes there is no way to keep it.
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "ocr-app.selector" (dict "root" $.root "role" .) | nindent 14 }}
{{- end }}
containers:
  - name: {{ .role }}
    {{- include "ocr-app.container" . | nindent 4 }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 256Mi
  {{- range .claims }}
  - name: {{ .name }}
    persistentVolumeClaim:
      claimName: {{ .claim }}
  {{- end }}
{{- end }}

{{- define "ocr-app.container" -}}
image: {{ include "ocr-app.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# The last log lines of a crash stand in the pod's status, where a diagnosis finds them.
terminationMessagePolicy: FallbackToLogsOnError
args:
  {{- concat (list .role "--bind" "0.0.0.0" "--port" (toString .values.port)) .values.extraArgs | toYaml | nindent 2 }}
env:
  - name: PLATEN_LOG
    value: {{ .root.Values.log.filter | quote }}
  - name: PLATEN_LOG_FORMAT
    value: {{ .root.Values.log.format }}
  # Named in every answer, so that a client sees which node read its image.
  - name: PLATEN_NODE
    valueFrom:
      fieldRef:
        fieldPath: spec.nodeName
  {{- with concat .env .values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .envSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
      optional: true
{{- end }}
ports:
  - name: http
    containerPort: {{ .values.port }}
    protocol: TCP
{{- if .root.Values.drain.sleepSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .root.Values.drain.sleepSeconds }}
{{- end }}
# Long enough for a cold node whose two cores are busy; the other probes begin when this one has passed.
startupProbe:
  httpGet:
    path: /healthz/live
    port: http
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 120
# Quick, and only here may a busy or draining pod say no.
readinessProbe:
  httpGet:
    path: /healthz/ready
    port: http
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
# Slow to judge: a restart under load makes the load worse.
livenessProbe:
  httpGet:
    path: /healthz/live
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- range .claims }}
  - name: {{ .name }}
    mountPath: {{ .path }}
  {{- end }}
{{- end }}

{{/* What leads to a role; values.service says how it is entered from outside, where it can be. */}}
{{- define "ocr-app.service" -}}
{{- $service := .values.service | default dict }}
{{- $type := $service.type | default "ClusterIP" }}
{{- $headless := or .headless $service.headless }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .serviceName | default .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "ocr-app.labels" . | nindent 4 }}
spec:
  type: {{ $type }}
  {{- if $headless }}
  clusterIP: None
  {{- end }}
  {{- if and (ne $type "ClusterIP") $service.externalTrafficPolicy }}
  externalTrafficPolicy: {{ $service.externalTrafficPolicy }}
  {{- end }}
  {{- with and .nearby .root.Values.trafficDistribution }}
  trafficDistribution: {{ . }}
  {{- end }}
  selector:
    {{- include "ocr-app.selector" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .servicePort | default .values.port }}
      targetPort: http
      protocol: TCP
      {{- if ne $type "ClusterIP" }}
      nodePort: {{ $service.nodePort }}
      {{- end }}
{{- end }}

{{/* Only where there is a second pod to lean on: with one, a budget would only block the drain of its node. */}}
{{- define "ocr-app.disruptionBudget" -}}
{{- $least := ternary (dig "autoscaling" "minReplicas" 1 .values) .values.replicas (not (empty (include "ocr-app.scales" .))) }}
{{- if gt (int $least) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "ocr-app.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "ocr-app.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Not empty where the number of pods follows the load. */}}
{{- define "ocr-app.scales" -}}
{{- if dig "autoscaling" "enabled" false .values }}yes{{ end }}
{{- end }}

{{- define "ocr-app.autoscaler" -}}
{{- if include "ocr-app.scales" . }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "ocr-app.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ .name }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .values.autoscaling.targetCPUUtilizationPercentage }}
  behavior:
    scaleDown:
      # Letters come in bursts; a model that is gone must warm up again.
      stabilizationWindowSeconds: 300
{{- end }}
{{- end }}

{{/*
What outlives the release: neither Helm nor Argo CD takes it away with the rest.
*/}}
{{- define "ocr-app.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false,Delete=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
{{- end }}
