{{/* Names are cut to 50 characters: a Job's pods, its hash and "-app" add to them, and a label may have 63. */}}
{{- define "alembic-gate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "alembic-gate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "alembic-gate.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "alembic-gate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "alembic-gate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "alembic-gate.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "alembic-gate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "alembic-gate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Takes a list: the root, and the component ("gate" or "app"). */}}
{{- define "alembic-gate.labels" -}}
{{- $root := index . 0 }}
{{- with $root.Values.commonLabels }}
{{- toYaml . }}
{{ end }}
{{- include "alembic-gate.selectorLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ default $root.Chart.AppVersion $root.Values.image.tag | trunc 63 | trimAll "._-" | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* "true" where the Job is a hook: what it needs must then be a hook too, since hooks run before everything else. */}}
{{- define "alembic-gate.hooked" -}}
{{- if and .Values.job.enabled .Values.hook.enabled }}true{{ end }}
{{- end }}

{{/*
What a hook makes is not removed with the release. So these go when their work is done, a Secret above all.
Takes a list: the root, and annotations of one's own.
*/}}
{{- define "alembic-gate.prerequisiteAnnotations" -}}
{{- $root := index . 0 }}
{{- $annotations := merge (deepCopy (index . 1)) $root.Values.job.prerequisiteAnnotations }}
{{- if include "alembic-gate.hooked" $root }}
{{- $annotations = merge $annotations (dict
      "helm.sh/hook" "pre-install,pre-upgrade,test"
      "helm.sh/hook-weight" (sub (int $root.Values.hook.weight) 10 | toString)
      "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded") }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Stops a rendering that could only fail in the cluster. */}}
{{- define "alembic-gate.check" -}}
{{- $made := or .Values.credentials.databaseUrl .Values.credentials.mysqlUser .Values.credentials.mysqlPassword }}
{{- if and .Values.credentials.existingSecret $made }}
{{- fail "credentials.existingSecret and credentials of the values are both set. Set one of the two." }}
{{- end }}
{{- if and .Values.credentials.databaseUrl (or .Values.credentials.mysqlUser .Values.credentials.mysqlPassword .Values.settings.mysqlHost .Values.settings.mysqlPort .Values.settings.mysqlDatabase) }}
{{- fail "credentials.databaseUrl and mysqlHost, mysqlPort, mysqlUser, mysqlPassword or mysqlDatabase are both set. Set the URL or the parts." }}
{{- end }}
{{- if not (or .Values.credentials.existingSecret $made .Values.settings.mysqlHost .Values.extraEnv .Values.databases.existingSecret) }}
{{- fail "no database is named, and there is no default one. Set credentials.existingSecret to a Secret with DATABASE_URL, or credentials.databaseUrl, or settings.mysqlHost and its like." }}
{{- end }}
{{- if gt (len (compact (list (join "" .Values.databases.names) .Values.databases.existingConfigMap .Values.databases.existingSecret))) 1 }}
{{- fail "more than one of databases.names, databases.existingConfigMap and databases.existingSecret is set. Set one of them." }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the credentials; empty where settings or extraEnv say everything. */}}
{{- define "alembic-gate.secretName" -}}
{{- if .Values.credentials.existingSecret }}
{{- .Values.credentials.existingSecret }}
{{- else if or .Values.credentials.databaseUrl .Values.credentials.mysqlUser .Values.credentials.mysqlPassword }}
{{- include "alembic-gate.fullname" . }}
{{- end }}
{{- end }}

{{- define "alembic-gate.secretData" -}}
{{- range $name := list "databaseUrl" "mysqlUser" "mysqlPassword" }}
{{- with index $.Values.credentials $name }}
{{ $name | snakecase | upper }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The env and envFrom of a container. Takes a dict: root, secret (a Secret's name; all its keys become variables), settings
(camel case; empty ones are left out), extra (a list).
The keys of existingSecretKeys hold for credentials.existingSecret alone.
*/}}
{{- define "alembic-gate.environment" -}}
{{- $keys := dict }}
{{- if and .secret (eq .secret .root.Values.credentials.existingSecret) }}
{{- range $name, $key := .root.Values.credentials.existingSecretKeys }}
{{- if $key }}{{ $_ := set $keys $name $key }}{{ end }}
{{- end }}
{{- end }}
{{- if and .secret (not $keys) }}
envFrom:
  - secretRef:
      name: {{ .secret }}
{{- end }}
env:
  {{- range $name, $value := .settings }}
  {{- if not (or (kindIs "invalid" $value) (eq (toString $value) "") (hasKey $keys $name)) }}
  - name: {{ $name | snakecase | upper }}
    value: {{ ternary (int64 $value) $value (kindIs "float64" $value) | toString | quote }}
  {{- end }}
  {{- end }}
  {{- range $name, $key := $keys }}
  - name: {{ $name | snakecase | upper }}
    valueFrom:
      secretKeyRef:
        name: {{ $.secret }}
        key: {{ $key | quote }}
  {{- end }}
  {{- with .extra }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The restricted Pod Security Standard: https://kubernetes.io/docs/concepts/security/pod-security-standards/ */}}
{{- define "alembic-gate.podSecurityContext" -}}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with .Values.runAsGroup }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
automountServiceAccountToken: false
# Else a Service named "mysql" puts MYSQL_PORT=tcp://… into the environment.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "alembic-gate.securityContext" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* The container that runs the gate. Takes a dict: root, arguments, secret, settings, extra (environment). */}}
{{- define "alembic-gate.container" -}}
name: gate
image: {{ include "alembic-gate.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: {{ toJson .arguments }}
{{- include "alembic-gate.environment" . }}
# Without a message of the gate's own (killed for its memory, say) the end of the log takes its place.
terminationMessagePolicy: FallbackToLogsOnError
{{ include "alembic-gate.securityContext" .root }}
{{- with .root.Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $mounts := .root.Values.extraVolumeMounts }}
{{- if or .root.Values.tls.existingSecret .root.Values.tls.existingConfigMap }}
{{- $mounts = append $mounts (dict "name" "tls" "mountPath" "/etc/alembic-gate/tls" "readOnly" true) }}
{{- end }}
{{- if and .list (include "alembic-gate.hasList" .root) }}
{{- $mounts = append $mounts (dict "name" "databases" "mountPath" "/etc/alembic-gate/databases" "readOnly" true) }}
{{- end }}
{{- with $mounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volumes of a pod that runs the gate. Takes a dict: root, list (whether with the list of databases). */}}
{{- define "alembic-gate.volumes" -}}
{{- $volumes := .root.Values.extraVolumes }}
{{- $sources := list }}
{{- with .root.Values.tls.existingSecret }}
{{- $sources = append $sources (dict "secret" (dict "name" .)) }}
{{- end }}
{{- with .root.Values.tls.existingConfigMap }}
{{- $sources = append $sources (dict "configMap" (dict "name" .)) }}
{{- end }}
{{- if $sources }}
{{- $volumes = append $volumes (dict "name" "tls" "projected" (dict "sources" $sources)) }}
{{- end }}
{{- if and .list (include "alembic-gate.hasList" .root) }}
{{- $list := .root.Values.databases }}
{{- if $list.existingSecret }}
{{- $volumes = append $volumes (dict "name" "databases" "secret" (dict "secretName" $list.existingSecret)) }}
{{- else }}
{{- $name := default (printf "%s-databases" (include "alembic-gate.fullname" .root)) $list.existingConfigMap }}
{{- $volumes = append $volumes (dict "name" "databases" "configMap" (dict "name" $name)) }}
{{- end }}
{{- end }}
{{- with $volumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* "true" where there are many databases to upgrade. */}}
{{- define "alembic-gate.hasList" -}}
{{- if or .Values.databases.names .Values.databases.existingConfigMap .Values.databases.existingSecret }}true{{ end }}
{{- end }}

{{/*
The exit codes after which no retry helps (docs/exit-codes.md). The others, such as 10 (database unavailable), 12 (another
job holds the lock), 137 (killed) or 143 (SIGTERM), count against backoffLimit. A test keeps this the gate's own table.
*/}}
{{- define "alembic-gate.fatalExitCodes" -}}
[1, 2, 11, 20, 21, 22, 23, 24, 31]
{{- end }}

{{- define "alembic-gate.databasePort" -}}
{{- $ofUrl := regexFind "@[^/?]*:[0-9]+" .Values.credentials.databaseUrl | regexFind "[0-9]+$" }}
{{- coalesce (int .Values.networkPolicy.databasePort) (int .Values.settings.mysqlPort) (int $ofUrl) 3306 }}
{{- end }}
