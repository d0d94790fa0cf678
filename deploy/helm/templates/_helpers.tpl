{{- define "tokensvc.selector" -}}
app.kubernetes.io/name: tokensvc
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tokensvc.labels" -}}
{{ include "tokensvc.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /*
The settings as variables of the pod, not as a file: a changed one replaces the pods, one at a time, and the
migration, which runs before all else is created, has them too.
*/}}
{{- define "tokensvc.env" -}}
- {name: TOKENSVC_BIND, value: "0.0.0.0:8000"}
- {name: TOKENSVC_METRICS__BIND, value: "0.0.0.0:9000"}
- {name: TOKENSVC_WORKER__EMBEDDED, value: "false"}
{{- range $name, $key := .Values.secret.keys }}
- {name: {{ $name }}_FILE, value: /run/secrets/tokensvc/{{ $key }}}
{{- end }}
{{- $variables := dict }}
{{- range $name, $value := .Values.settings }}
  {{- if kindIs "map" $value }}
    {{- range $member, $inner := $value }}
      {{- $_ := set $variables (printf "TOKENSVC_%s__%s" $name $member | upper) $inner }}
    {{- end }}
  {{- else }}
    {{- $_ := set $variables (printf "TOKENSVC_%s" $name | upper) $value }}
  {{- end }}
{{- end }}
{{- range $name, $value := $variables }}
- name: {{ regexReplaceAll "^TOKENSVC_STREAM__(API_KEY|BASE_URL)$" $name "STREAM_${1}" }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}

{{- /* Fields of each pod. The caller may add volumes. */}}
{{- define "tokensvc.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.pod }}
{{ toYaml . }}
{{- end }}
volumes:
  - name: secrets
    secret: {secretName: {{ .Values.secret.name }}, defaultMode: 0440}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- end }}

{{- /* Fields of each container. The caller may add mounts. */}}
{{- define "tokensvc.container" -}}
env:
  {{- include "tokensvc.env" . | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: secrets, mountPath: /run/secrets/tokensvc, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- /* Resources of each container but those of the instances. */}}
{{- define "tokensvc.resources" -}}
requests: {cpu: 100m, memory: 128Mi}
limits: {memory: 256Mi}
{{- end }}
