{{- define "stack.name" -}}
{{ printf "%s-kube-prometheus" .Release.Name }}
{{- end }}

{{- define "stack.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: kube-prometheus-stack
release: {{ .Release.Name }}
{{- end }}

{{- /* A selector of the Prometheus resource: everything, or what carries this release's label. */}}
{{- define "stack.selector" -}}
{{- if .only -}}
{matchLabels: {release: {{ .release }}}}
{{- else -}}
{}
{{- end }}
{{- end }}
