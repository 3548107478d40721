{{- define "larder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "larder.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "larder.selectorLabels" -}}
app.kubernetes.io/name: {{ include "larder.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "larder.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "larder.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "larder.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "larder.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "larder.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- /* Where the cache lies, when no type is named. */}}
{{- define "larder.cacheType" -}}
{{- if .Values.cache.type }}
{{- .Values.cache.type }}
{{- else if eq .Values.kind "DaemonSet" }}emptyDir
{{- else }}persistentVolumeClaim
{{- end }}
{{- end }}

{{- /* The name of the clients' port: what is spoken there. */}}
{{- define "larder.scheme" -}}
{{- if .Values.tls.secretName }}https{{ else }}http{{ end }}
{{- end }}

{{- /* The URLs of what is asked for packages: the parent, several of them, or GitLab. */}}
{{- define "larder.upstreams" -}}
{{- $parents := kindIs "slice" .Values.parent | ternary .Values.parent (list .Values.parent) | compact }}
{{- $parents | default (list (.Values.gitlab.url | default "https://gitlab.com")) | join ", " }}
{{- end }}

{{- /* The TCP ports of those URLs, each once. */}}
{{- define "larder.upstreamPorts" -}}
{{- $ports := list }}
{{- range splitList ", " (include "larder.upstreams" .) }}
{{- $upstream := urlParse . }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $upstream.host) }}
{{- $ports = append $ports ($port | default (ternary "80" "443" (eq $upstream.scheme "http"))) }}
{{- end }}
{{- $ports | uniq | join "," }}
{{- end }}

{{- /* What values.schema.json cannot say. */}}
{{- define "larder.check" -}}
{{- $type := include "larder.cacheType" . }}
{{- if and (eq .Values.kind "DaemonSet") (eq $type "persistentVolumeClaim") }}
{{- fail "cache.type: one claim cannot be the cache of every node: use emptyDir or hostPath with kind: DaemonSet" }}
{{- end }}
{{- if and (eq .Values.kind "Deployment") (eq $type "hostPath") }}
{{- fail "cache.type: hostPath is the folder of one node, and a Deployment's pod may come up on any: use a claim or emptyDir" }}
{{- end }}
{{- if and (eq $type "persistentVolumeClaim") (gt (int .Values.replicas) 1) }}
{{- fail "replicas: a cache folder belongs to one larder: with more than one replica use cache.type: emptyDir" }}
{{- end }}
{{- if eq (int .Values.ports.client) (int .Values.ports.health) }}
{{- fail "ports: client and health must differ" }}
{{- end }}
{{- $config := fromToml .Values.config }}
{{- if hasKey $config "Error" }}
{{- fail (printf "config: not TOML: %s" (get $config "Error")) }}
{{- end }}
{{- $instead := dict "parent" "parent" "listen" "ports.client" "health_listen" "ports.health" "listen_mode" "ports.client" "cache_dir" "cache" "cache_size" "cacheSize" "tls" "tls.secretName" }}
{{- range $key, $value := $instead }}
{{- if hasKey $config $key }}
{{- fail (printf "config: %s is set by the chart: use the value %s" $key $value) }}
{{- end }}
{{- end }}
{{- if hasKey (default dict (get $config "gitlab")) "url" }}
{{- fail "config: gitlab.url is set by the chart: use the value gitlab.url" }}
{{- end }}
{{- if hasKey (default dict (get $config "log")) "format" }}
{{- fail "config: log.format is set by the chart: it is json" }}
{{- end }}
{{- end }}
