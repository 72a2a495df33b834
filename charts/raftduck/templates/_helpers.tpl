{{- define "raftduck.name" -}}
{{- if contains "raftduck" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-raftduck" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "raftduck.selector" -}}
app.kubernetes.io/name: raftduck-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "raftduck.labels" -}}
{{ include "raftduck.selector" . }}
app.kubernetes.io/part-of: raftduck
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "raftduck.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What the operator does in each namespace with clusters; each line is needed by one step of a reconcile. */ -}}
{{- define "raftduck.rules" -}}
- apiGroups: [raftduck.io]
  resources: [analyticsclusters]
  verbs: [get, list, watch]
- apiGroups: [raftduck.io]
  resources: [analyticsclusters/status]
  verbs: [get, patch]
# To name a cluster as the owner of its objects, where the API server asks for that.
- apiGroups: [raftduck.io]
  resources: [analyticsclusters/finalizers]
  verbs: [update]
# A StatefulSet is made anew around its pods where volumes grow.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts, configmaps]
  verbs: [get, create, patch]
# The credential of a cluster's processes is made and read. Tokens are made, and of them only the metadata is read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
# A worker is restarted by deleting its pod.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
