{{- define "alembic-gate.jobSpec" -}}
{{- $many := include "alembic-gate.hasList" . }}
{{- $list := .Values.databases }}
activeDeadlineSeconds: {{ int64 .Values.job.activeDeadlineSeconds }}
{{- if not (kindIs "invalid" .Values.job.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int64 .Values.job.ttlSecondsAfterFinished }}
{{- end }}
{{- if $many }}
completionMode: Indexed
completions: {{ int64 $list.shares }}
parallelism: {{ min (int64 $list.pods) (int64 $list.shares) }}
backoffLimitPerIndex: {{ int64 .Values.job.backoffLimit }}
{{- else }}
backoffLimit: {{ int64 .Values.job.backoffLimit }}
{{- end }}
# A new pod starts only when the old one has really ended.
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    - action: {{ ternary "FailIndex" "FailJob" (eq $many "true") }}
      onExitCodes:
        containerName: gate
        operator: In
        values: {{ include "alembic-gate.fatalExitCodes" . }}
    # A drained node or an eviction is nobody's fault.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  metadata:
    labels:
      {{- with .Values.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- include "alembic-gate.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: gate
    {{- with .Values.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    serviceAccountName: {{ include "alembic-gate.serviceAccountName" . }}
    {{- include "alembic-gate.podSecurityContext" . | nindent 4 }}
    restartPolicy: Never
    terminationGracePeriodSeconds: {{ int64 .Values.job.terminationGracePeriodSeconds }}
    {{- with .Values.priorityClassName }}
    priorityClassName: {{ . }}
    {{- end }}
    {{- $arguments := list "upgrade" }}
    {{- $extra := .Values.extraEnv }}
    {{- if $many }}
    {{- $path := printf "/etc/alembic-gate/databases/%s" (ternary "databases.txt" $list.key (gt (len $list.names) 0)) }}
    {{- $arguments = list "upgrade" "--databases" $path "--parallel" (int64 $list.parallel | toString) }}
    {{- $extra = append $extra (dict "name" "JOB_COMPLETIONS" "value" (int64 $list.shares | toString)) }}
    {{- end }}
    {{- $gate := dict "root" . "arguments" $arguments "secret" (include "alembic-gate.secretName" .) "settings" .Values.settings "extra" $extra "list" true }}
    containers:
      - {{ include "alembic-gate.container" $gate | indent 8 | trim }}
    {{- with include "alembic-gate.volumes" $gate }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- with .Values.nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.affinity }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}

{{/*
A Job cannot be changed. Helm and Argo CD delete a hook before they make it anew; an ordinary Job needs another name for
another content, and the same name for the same: then GitOps tools see no difference.
*/}}
{{- define "alembic-gate.jobName" -}}
{{- if or (include "alembic-gate.hooked" .) (hasKey .Values.job.annotations "argocd.argoproj.io/hook") }}
{{- include "alembic-gate.fullname" . }}
{{- else }}
{{- $content := list (include "alembic-gate.jobSpec" .) .Values.credentials .Values.databases | toJson }}
{{- printf "%s-%s" (include "alembic-gate.fullname" .) (sha256sum $content | trunc 8) }}
{{- end }}
{{- end }}
