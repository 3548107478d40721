{{- /* The pod, of either kind. */}}
{{- define "larder.pod" -}}
{{- include "larder.check" . }}
{{- $type := include "larder.cacheType" . -}}
metadata:
  annotations:
    checksum/config: {{ .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "larder.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  serviceAccountName: {{ include "larder.serviceAccountName" . }}
  # larder asks nothing of Kubernetes, and needs no variable for each Service.
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # The volume and the secrets belong to this group.
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: larder
      image: {{ include "larder.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      env:
        {{- $client := printf "%s:%d" .Values.listenAddress (int .Values.ports.client) }}
        {{- if .Values.tls.secretName }}
        # By TLS alone.
        - name: LARDER_LISTEN
          value: "[]"
        - name: LARDER_TLS__LISTEN
          value: {{ $client | quote }}
        - name: LARDER_TLS__CERTIFICATE
          value: /etc/larder/tls/tls.crt
        - name: LARDER_TLS__KEY
          value: /etc/larder/tls/tls.key
        {{- else }}
        - name: LARDER_LISTEN
          value: {{ $client | quote }}
        {{- end }}
        - name: LARDER_HEALTH_LISTEN
          value: {{ printf "%s:%d" .Values.listenAddress (int .Values.ports.health) | quote }}
        - name: LARDER_CACHE_DIR
          value: /var/cache/larder
        - name: LARDER_CACHE_SIZE
          value: {{ .Values.cacheSize | quote }}
        {{- if .Values.parent }}
        - name: LARDER_PARENT
          value: {{ kindIs "slice" .Values.parent | ternary (toJson .Values.parent) .Values.parent | quote }}
        {{- else }}
        - name: LARDER_GITLAB__URL
          value: {{ include "larder.upstreams" . | quote }}
        {{- end }}
        - name: LARDER_LOG__FORMAT
          value: json
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: {{ include "larder.scheme" . }}
          containerPort: {{ .Values.ports.client }}
          {{- if and (eq .Values.kind "DaemonSet") .Values.hostPort.enabled }}
          hostPort: {{ .Values.ports.client }}
          {{- with .Values.hostPort.ip }}
          hostIP: {{ . }}
          {{- end }}
          {{- end }}
          protocol: TCP
        - name: health
          containerPort: {{ .Values.ports.health }}
          protocol: TCP
      # At an address of their own, where no crowd of clients stands before them.
      startupProbe:
        httpGet:
          path: /-/health/live
          port: health
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: /-/health/live
          port: health
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      # 200 also when degraded: larder serves what it can.
      readinessProbe:
        httpGet:
          path: /-/health/ready
          port: health
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      {{- if .Values.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.preStopSeconds }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: cache
          mountPath: /var/cache/larder
        - name: config
          mountPath: /etc/larder/config.toml
          subPath: config.toml
          readOnly: true
        {{- if .Values.secretName }}
        - name: secrets
          mountPath: /etc/larder/secrets
          readOnly: true
        {{- end }}
        {{- if .Values.tls.secretName }}
        - name: tls
          mountPath: /etc/larder/tls
          readOnly: true
        {{- end }}
  volumes:
    - name: cache
      {{- if eq $type "persistentVolumeClaim" }}
      persistentVolumeClaim:
        claimName: {{ .Values.cache.existingClaim | default (include "larder.fullname" .) }}
      {{- else if eq $type "hostPath" }}
      hostPath:
        path: {{ .Values.cache.hostPath }}
        type: Directory
      {{- else }}
      emptyDir:
        sizeLimit: {{ .Values.cache.size }}
      {{- end }}
    - name: config
      configMap:
        name: {{ include "larder.fullname" . }}
    {{- with .Values.secretName }}
    - name: secrets
      secret:
        secretName: {{ . }}
        defaultMode: 288 # 0440
    {{- end }}
    {{- with .Values.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 288 # 0440
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
