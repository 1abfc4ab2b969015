{{/* Rules between values, which a schema cannot express: what the program would refuse when it starts. */}}
{{- define "leasehold.check" -}}
{{- include "leasehold.checkNames" . -}}
{{- include "leasehold.checkMode" . -}}
{{- include "leasehold.checkApp" . -}}
{{- include "leasehold.checkDurations" . -}}
{{- if and .Values.sessionNamespace (not .Values.queue) -}}
{{- fail "sessionNamespace has no effect without queue: set queue=true, or remove sessionNamespace" -}}
{{- end -}}
{{- if and .Values.allowHosts (not (include "leasehold.page" .)) -}}
{{- fail "allowHosts has no effect without the page: set page=true, or remove allowHosts" -}}
{{- end -}}
{{- range $key, $value := .Values.leaseAnnotations -}}
{{- if gt (len (dir $key)) 253 }}{{ fail (printf "leaseAnnotations: the part of %s before / is too long" $key) }}{{ end -}}
{{- if contains "\n" $value }}{{ fail (printf "leaseAnnotations: the value of %s has more than one line" $key) }}{{ end -}}
{{- end -}}
{{- range $key, $value := .Values.leaseLabels -}}
{{- if gt (len (dir $key)) 253 }}{{ fail (printf "leaseLabels: the part of %s before / is too long" $key) }}{{ end -}}
{{- end -}}
{{- $size := 0 -}}
{{- range $key, $value := .Values.leaseAnnotations }}{{ $size = add $size (len $key) (len $value) }}{{ end -}}
{{- if gt (int64 $size) 258048 -}}
{{- fail (printf "leaseAnnotations: together they have %v bytes, at most 258048 fit" $size) -}}
{{- end -}}
{{- end }}

{{/* Values that belong to other modes. */}}
{{- define "leasehold.checkMode" -}}
{{- if eq .Values.mode "demo" -}}
{{- $app := list "appImage" "appCommand" "appArgs" "appEnv" "appPort" "appResources" "appReadinessProbe" -}}
{{- range concat $app (list "appLivenessProbe" "appSecurityContext" "appVolumeMounts" "appToken") -}}
{{- if get $.Values . }}{{ fail (printf "%s is set, but mode is demo: set mode=sidecar or mode=wrapper" .) }}{{ end -}}
{{- end -}}
{{- else -}}
{{- if not .Values.appImage }}{{ fail (printf "mode %s needs appImage, your image with its tag" .Values.mode) }}{{ end -}}
{{- end -}}
{{- if and (eq .Values.mode "wrapper") (not .Values.appCommand) -}}
{{- fail "mode wrapper needs appCommand, one entry per word of your command: the chart cannot read the image's entrypoint" -}}
{{- end -}}
{{- if and (eq .Values.mode "wrapper") (or .Values.appReadinessProbe .Values.appLivenessProbe) -}}
{{- fail "appReadinessProbe and appLivenessProbe are for mode sidecar: in mode wrapper the command runs in one pod only" -}}
{{- end -}}
{{- if and .Values.appPort (eq (int .Values.appPort) (int .Values.servePort)) -}}
{{- fail (printf "appPort and servePort are both %v: both are ports of one pod, so choose another servePort" .Values.servePort) -}}
{{- end -}}
{{- end }}

{{/* The name of all objects, and that of the election. */}}
{{- define "leasehold.checkNames" -}}
{{- $name := include "leasehold.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "%s cannot be the name of a Service, which begins with a letter and has no dot: set fullnameOverride" $name) -}}
{{- end -}}
{{- $election := include "leasehold.election" . -}}
{{- /* leasehold would use a Lease of another name, which the Role does not list. */ -}}
{{- if regexMatch "^s[1-9][0-9]*-[a-z2-7]{20}(-[a-z2-7]+)?$" $election -}}
{{- fail (printf "election: %s has the form of the name of a session: choose another name" $election) -}}
{{- end -}}
{{- end }}

{{/* Your container: names that the chart uses itself. */}}
{{- define "leasehold.checkApp" -}}
{{- if and (eq .Values.mode "wrapper") (not (first .Values.appCommand)) -}}
{{- fail "appCommand: its first entry is an empty text, and no program has that name" -}}
{{- end -}}
{{- $set := list "LEASEHOLD_URL" -}}
{{- $volumes := list "token" -}}
{{- if eq .Values.mode "wrapper" -}}
{{- $set = splitList " " (include "leasehold.variables" .) -}}
{{- $volumes = append $volumes "program" -}}
{{- end -}}
{{- range .Values.appEnv -}}
{{- if has .name $set -}}
{{- fail (printf "appEnv: %s is set by the chart: remove it, and use the values of the chart" .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.volumes -}}
{{- if has .name $volumes }}{{ fail (printf "volumes: %s is a volume of the chart: choose another name" .name) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* All variables that leasehold.env can set, separated by spaces. Set a second time, they would not be checked. */}}
{{- define "leasehold.variables" -}}
POD_NAME POD_NAMESPACE POD_UID LEASEHOLD_QUEUE LEASEHOLD_SESSION_NAMESPACE LEASEHOLD_TTL LEASEHOLD_ATTEMPT
{{- " LEASEHOLD_GRACE LEASEHOLD_OUTPUT LEASEHOLD_VERBOSE LEASEHOLD_LABELS LEASEHOLD_ANNOTATIONS LEASEHOLD_SERVE" -}}
{{- " LEASEHOLD_PAGE LEASEHOLD_ALLOW_HOST LEASEHOLD_LEADER_URL LEASEHOLD_LABEL_LEADER LEASEHOLD_EVENTS" -}}
{{- end }}

{{/* ttl, attempt and grace: their form, and their bounds, which depend on the ttl. */}}
{{- define "leasehold.checkDurations" -}}
{{- $ttl := include "leasehold.nanoseconds" (list "ttl" .Values.ttl) | float64 -}}
{{- $secs := divf $ttl 1e9 | ceil -}}
{{- if or (lt $secs 1.0) (gt $secs 86400.0) -}}
{{- fail (printf "ttl: %s is not 1s to 86400s (one day)" .Values.ttl) -}}
{{- end -}}
{{- $ttl = mul (int64 $secs) 1000000000 -}}
{{- /* The time between a due renewal and the end of the hold, in which three attempts must fit. */ -}}
{{- $renewing := sub (mul (div $ttl 15) 13) (div $ttl 3) -}}
{{- $attempt := min (div $ttl 10) 5000000000 -}}
{{- if .Values.attempt -}}
{{- if .Values.queue -}}
{{- fail "attempt has no effect with queue: remove attempt, or set queue=false" -}}
{{- end -}}
{{- $attempt = include "leasehold.nanoseconds" (list "attempt" .Values.attempt) | float64 | int64 -}}
{{- if or (lt $attempt 1000000) (gt $attempt (div $renewing 3)) -}}
{{- $most := div (div $renewing 3) 1000000 -}}
{{- fail (printf "attempt: %s is not 1ms to %vms, with a ttl of %s: shorten it, or lengthen the ttl" .Values.attempt $most .Values.ttl) -}}
{{- end -}}
{{- end -}}
{{- if .Values.grace -}}
{{- $grace := include "leasehold.nanoseconds" (list "grace" .Values.grace) | float64 -}}
{{- $most := min (mul (div $ttl 5) 2) (sub $renewing $attempt) -}}
{{- if gt $grace (float64 $most) -}}
{{- fail (printf "grace: %s is more than %vms, with a ttl of %s: shorten it, or lengthen the ttl" .Values.grace (div $most 1000000) .Values.ttl) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A list of the name of a value and its duration, as the program reads it: in nanoseconds. */}}
{{- define "leasehold.nanoseconds" -}}
{{- $name := index . 0 -}}
{{- $text := index . 1 -}}
{{- $units := dict "ns" 1.0 "us" 1e3 "ms" 1e6 "s" 1e9 "m" 6e10 "h" 3.6e12 "d" 8.64e13 -}}
{{- $ordered := "^([0-9]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?([0-9.]+ms)?([0-9.]+us)?([0-9]+ns)?$" -}}
{{- if regexMatch "^[0-9]+$" $text -}}
{{- $text = printf "%ss" $text -}}
{{- end -}}
{{- /* Only the last number may have a decimal point. */ -}}
{{- if or (not (regexMatch $ordered $text)) (regexMatch "[.][0-9]+[a-z]+[0-9]" $text) -}}
{{- fail (printf "%s: %s is no duration: write it like 90s, 5m, 1h30m, 7d or 500ms, the largest unit first" $name $text) -}}
{{- end -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-z]+" $text -1 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- printf "%.0f" $sum -}}
{{- end }}
