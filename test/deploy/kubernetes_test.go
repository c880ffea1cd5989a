package deploy

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/robfig/cron/v3"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// manifests are all documents of deploy/kubernetes, each as its API type has it.
type manifests struct {
	accounts    []core.ServiceAccount
	config      []core.ConfigMap
	secrets     []core.Secret
	deployments []apps.Deployment
	services    []core.Service
	budgets     []policy.PodDisruptionBudget
	jobs        []batch.CronJob
	monitors    []monitoring.PodMonitor
}

func into[T any](t *testing.T, all *[]T, document string) {
	t.Helper()
	var one T
	if err := yaml.UnmarshalStrict([]byte(document), &one); err != nil {
		t.Errorf("%v in\n%s", err, document)
	}
	*all = append(*all, one)
}

func load(t *testing.T) (all manifests) {
	t.Helper()
	for _, file := range []string{"tandem.yaml", "podmonitor.yaml"} {
		for document := range strings.SplitSeq(read(t, "deploy/kubernetes/"+file), "\n---\n") {
			var kind meta.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatal(err)
			}
			switch kind.APIVersion + " " + kind.Kind {
			case "v1 ServiceAccount":
				into(t, &all.accounts, document)
			case "v1 ConfigMap":
				into(t, &all.config, document)
			case "v1 Secret":
				into(t, &all.secrets, document)
			case "apps/v1 Deployment":
				into(t, &all.deployments, document)
			case "v1 Service":
				into(t, &all.services, document)
			case "policy/v1 PodDisruptionBudget":
				into(t, &all.budgets, document)
			case "batch/v1 CronJob":
				into(t, &all.jobs, document)
			case "monitoring.coreos.com/v1 PodMonitor":
				into(t, &all.monitors, document)
			default:
				t.Errorf("%s %s is not known to this test", kind.APIVersion, kind.Kind)
			}
		}
	}
	if len(all.deployments) != 1 || len(all.config) != 1 || len(all.secrets) != 1 || len(all.accounts) != 1 {
		t.Fatalf("%+v", all)
	}
	return all
}

// pods are the pod templates, by who makes them.
func (all manifests) pods() map[string]core.PodTemplateSpec {
	pods := map[string]core.PodTemplateSpec{all.deployments[0].Name: all.deployments[0].Spec.Template}
	for _, j := range all.jobs {
		pods[j.Name] = j.Spec.JobTemplate.Spec.Template
	}
	return pods
}

func TestManifestsAreStrict(t *testing.T) {
	all := load(t)
	names := []string{}
	for _, j := range all.jobs {
		names = append(names, j.Name)
		if _, err := cron.ParseStandard(j.Spec.Schedule); err != nil {
			t.Errorf("%s: %v", j.Name, err)
		}
		if j.Spec.ConcurrencyPolicy != batch.ForbidConcurrent || j.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy != core.RestartPolicyNever {
			t.Errorf("%s may run twice at once, or again by itself", j.Name)
		}
	}
	slices.Sort(names)
	if want := []string{"tandem-archive-drill", "tandem-failover-drill", "tandem-prune", "tandem-verify"}; !slices.Equal(names, want) {
		t.Errorf("jobs %v, want %v", names, want)
	}
}

func TestPods(t *testing.T) {
	all := load(t)
	for name, pod := range all.pods() {
		if pod.Spec.ServiceAccountName != all.accounts[0].Name || pod.Spec.SecurityContext == nil || !*pod.Spec.SecurityContext.RunAsNonRoot {
			t.Errorf("%s: account %q, %+v", name, pod.Spec.ServiceAccountName, pod.Spec.SecurityContext)
		}
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap != nil && v.ConfigMap.Name != all.config[0].Name || v.Secret != nil && v.Secret.SecretName != all.secrets[0].Name {
				t.Errorf("%s: volume %s of nothing", name, v.Name)
			}
		}
		for _, c := range pod.Spec.Containers {
			accepted(t, name, c.Command)
			if c.SecurityContext == nil || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation {
				t.Errorf("%s: %+v", name, c.SecurityContext)
			}
			if _, bounded := c.Resources.Limits[core.ResourceMemory]; !bounded {
				t.Errorf("%s: no bound on memory", name)
			}
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("%s: no volume %s", name, m.Name)
				}
			}
		}
	}
}

// What selects pods selects those that are meant, and ports are there by their names.
func TestSelectors(t *testing.T) {
	all := load(t)
	d := all.deployments[0]
	mirror := labels.Set(d.Spec.Template.Labels)
	selects := func(what string, s labels.Selector) {
		t.Helper()
		for name, pod := range all.pods() {
			if is := name == d.Name; s.Matches(labels.Set(pod.Labels)) != is {
				t.Errorf("%s selects pods of %s: %t", what, name, !is)
			}
		}
	}
	of := func(s *meta.LabelSelector) labels.Selector {
		t.Helper()
		selector, err := meta.LabelSelectorAsSelector(s)
		if err != nil {
			t.Fatal(err)
		}
		return selector
	}
	selects("the deployment", of(d.Spec.Selector))
	selects("the service", labels.SelectorFromSet(all.services[0].Spec.Selector))
	selects("the budget", of(all.budgets[0].Spec.Selector))
	selects("the monitor", of(&all.monitors[0].Spec.Selector))
	ports := map[string]int32{}
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, e := range all.monitors[0].Spec.PodMetricsEndpoints {
		if ports[*e.Port] == 0 || e.Path != "/metrics" {
			t.Errorf("the monitor asks %s of port %s", e.Path, *e.Port)
		}
		key := e.HTTPConfigWithProxy.Authorization.Credentials
		if _, there := all.secrets[0].StringData[key.Key]; key.Name != all.secrets[0].Name || !there {
			t.Errorf("the monitor's token %s/%s is not there", key.Name, key.Key)
		}
	}
	for _, p := range all.services[0].Spec.Ports {
		if ports[p.TargetPort.StrVal] == 0 {
			t.Errorf("the service leads to port %v", p.TargetPort)
		}
	}
	c := d.Spec.Template.Spec.Containers[0]
	for path, probe := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if probe.HTTPGet.Path != path || ports[probe.HTTPGet.Port.StrVal] == 0 {
			t.Errorf("%s: %+v", path, probe.HTTPGet)
		}
	}
	if len(mirror) == 0 {
		t.Error("no labels")
	}
}

// mirror understands the file of the ConfigMap, and all that it refers to is in the Secret.
func TestConfigMap(t *testing.T) {
	all := load(t)
	dir := t.TempDir()
	for _, key := range slices.Sorted(maps.Keys(all.secrets[0].StringData)) {
		value := all.secrets[0].StringData[key]
		if key == "ca.crt" {
			value = authority(t)
		}
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "mm2.properties")
	text := strings.ReplaceAll(all.config[0].Data["mm2.properties"], "/etc/tandem-secret", dir)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.Command(filepath.Join(bin, "mirror"), "check", file, "--effective")
	var said strings.Builder
	check.Stderr = &said
	out, err := check.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("%v: %s", err, said.String())
	}
	for _, want := range []string{"status.token", "0.0.0.0:8383", "archive.url"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the settings lack %s:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "change-me") {
		t.Error("a secret is shown")
	}
	for _, v := range all.deployments[0].Spec.Template.Spec.Containers[0].VolumeMounts {
		if v.Name == "config" && v.MountPath != "/etc/tandem" || v.Name == "secret" && v.MountPath != "/etc/tandem-secret" {
			t.Errorf("%s stands at %s", v.Name, v.MountPath)
		}
	}
}

// authority is a certificate in PEM.
func authority(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test",
		"-keyout", filepath.Join(dir, "key"), "-out", filepath.Join(dir, "crt")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "crt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
