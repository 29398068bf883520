{{- define "twowire.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "twowire.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* {"max_call_s": 60} as the environment has it */ -}}
{{- define "twowire.settings" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
- name: TWOWIRE_{{ upper $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "twowire.redisEnv" -}}
- name: TWOWIRE_REDIS_URL
{{- if .Values.valkey.enabled }}
  value: redis://{{ include "twowire.fullname" . }}-bus:6379/0
{{- else if .Values.redis.existingSecret.name }}
  valueFrom:
    secretKeyRef: {name: {{ .Values.redis.existingSecret.name }}, key: {{ .Values.redis.existingSecret.key }}}
{{- else }}
  value: {{ .Values.redis.url | quote }}
{{- end }}
{{- end }}

{{- define "twowire.mountPoints" -}}
{{- range $name, $mount := . }}
- name: own-{{ $name }}
  mountPath: {{ $mount.path }}
  readOnly: {{ $mount.readOnly | default (not $mount.claim) }}
{{- end }}
{{- end }}

{{- define "twowire.mountVolumes" -}}
{{- range $name, $mount := . }}
- name: own-{{ $name }}
{{- if $mount.claim }}
  persistentVolumeClaim: {claimName: {{ $mount.claim }}}
{{- else if $mount.secret }}
  secret: {secretName: {{ $mount.secret }}, defaultMode: 0440}
{{- else }}
  configMap: {name: {{ $mount.configMap }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* workload: a gateway or a pool; labels: of its pods. */ -}}
{{- define "twowire.placement" -}}
{{- with .workload.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .workload.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .workload.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .workload.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $labels := .labels }}
{{- with .workload.spreadOver }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- $labels | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "twowire.preStop" -}}
{{- with . }}
lifecycle:
  preStop:
    exec: {command: [sleep, {{ . | toString | quote }}]}
{{- end }}
{{- end }}

{{- /* Scale up at once; down one pod at a time, and only when it was enough for long. */ -}}
{{- define "twowire.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 4, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: {{ .Values.autoscaling.stabilizationSeconds }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 300}
{{- end }}
