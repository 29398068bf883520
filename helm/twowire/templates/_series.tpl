{{- /* release: a Helm release, pool: one of its pools, namespace. Labels that the monitors of this chart give to series. */ -}}
{{- define "twowire.poolSeries" -}}
namespace={{ .namespace | quote }},release={{ .release | quote }},pool={{ .pool | quote }}
{{- end }}

{{- /* Busy slots over slots that are offered; what a worker withholds is no slot. */ -}}
{{- define "twowire.busyRatio" -}}
{{- $of := include "twowire.poolSeries" . -}}
sum(twowire_worker_slots{state="busy",{{ $of }}}) / clamp_min(sum(twowire_worker_slots{state=~"busy|free",{{ $of }}}), 1)
{{- end }}

{{- /* Above one when fewer than minFreeSlots are free. */ -}}
{{- define "twowire.floorRatio" -}}
{{- $of := include "twowire.poolSeries" . -}}
(sum(twowire_worker_slots{state="busy",{{ $of }}}) + {{ .minFreeSlots }}) / clamp_min(sum(twowire_worker_slots{state=~"busy|free",{{ $of }}}), 1)
{{- end }}

{{- /* 0 where nothing was decided on: a quantile of nothing is no number. */ -}}
{{- define "twowire.queueWait" -}}
(histogram_quantile(0.95, sum by (le) (rate(twowire_worker_queue_wait_seconds_bucket{ {{- include "twowire.poolSeries" . -}} }[2m]))) > 0) or vector(0)
{{- end }}
