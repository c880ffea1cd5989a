// Package deploy holds the files of deploy/ against what they are for: manifests against the Kubernetes API's own types, units
// against systemd, command lines against the commands, the settings of the ConfigMap against mirror.
package deploy
