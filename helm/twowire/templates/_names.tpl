{{- define "twowire.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 36 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 36 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "twowire.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twowire.labels" -}}
{{ include "twowire.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "twowire.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "twowire.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "twowire.secret" -}}
{{ .Values.secrets.existingSecret | default (include "twowire.fullname" .) }}
{{- end }}

{{- define "twowire.publicUrl" -}}
{{- if .Values.publicUrl }}{{ .Values.publicUrl }}{{ else if and .Values.ingress.enabled .Values.ingress.host }}https://{{ .Values.ingress.host }}{{ end }}
{{- end }}

{{- /* image: {repository, tag, digest} and the chart's version */ -}}
{{- define "twowire.image" -}}
{{- $image := .image -}}
{{- $image.repository }}:{{ $image.tag | default .version }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* Every pool that is on, with what workerDefaults say where it says nothing; JSON, name to pool. */ -}}
{{- define "twowire.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy ($own | default dict)) -}}
{{- if $pool.enabled -}}{{- $_ := set $pools $name $pool -}}{{- end -}}
{{- end -}}
{{- toJson $pools -}}
{{- end }}

{{- /* Seconds from SIGTERM, hooks included, to SIGKILL. 30 s: words at the limit, engines that end, the bus let go. */ -}}
{{- define "twowire.leastGraceSeconds" -}}
{{ add (ceil .drainLimitSeconds) .preStopSeconds 30 }}
{{- end }}
{{- define "twowire.graceSeconds" -}}
{{ .terminationGracePeriodSeconds | default (include "twowire.leastGraceSeconds" .) }}
{{- end }}
