package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

const root = "../.."

// bin is where the commands are built once for all tests, as make builds them.
var bin string

const version = "v0.0.0-of-a-test"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tandem-deploy-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin = dir
		build := exec.Command("make", "-C", root, "build", "BIN="+dir, "VERSION="+version)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// accepted makes sure that a command line of ours has a command and flags that exist. Flags are looked at before --help is.
func accepted(t *testing.T, where string, line []string) {
	t.Helper()
	name := filepath.Base(line[0])
	out, err := exec.Command(filepath.Join(bin, name), append(line[1:], "--help")...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s: %v\n%s", where, strings.Join(line, " "), err, out)
	}
	if sub := "Usage:\n  " + name + " "; len(line) > 2 && name != "mirror" && !strings.Contains(string(out), sub+line[1]+" ") {
		t.Errorf("%s: %s: no such command", where, strings.Join(line, " "))
	}
}

// One binary each, which says what it is and needs nothing of the system that it runs on.
func TestBinariesAreStaticAndVersioned(t *testing.T) {
	for _, name := range []string{"mirror", "failover", "archive"} {
		path := filepath.Join(bin, name)
		out, err := exec.Command(path, "version").Output()
		if err != nil || !strings.Contains(string(out), name+" "+version) {
			t.Errorf("%s says %q, %v", name, out, err)
		}
		if runtime.GOOS != "linux" {
			continue
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s needs a dynamic linker", name)
			}
		}
		f.Close()
	}
}

// Each shell gets its completions from the command itself.
func TestCompletions(t *testing.T) {
	for _, name := range []string{"mirror", "failover", "archive"} {
		for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
			out, err := exec.Command(filepath.Join(bin, name), "completion", shell).Output()
			if err != nil || !strings.Contains(string(out), name) {
				t.Errorf("%s completion %s: %v", name, shell, err)
			}
			if shell == "bash" && exec.Command("bash", "-n", "-c", string(out)).Run() != nil {
				t.Errorf("bash does not understand the completions of %s", name)
			}
		}
	}
	for line, want := range map[string]string{
		"failover ":                  "drill",
		"archive ":                   "verify",
		"mirror ":                    "check",
		"archive verify x --level ":  "record",
		"mirror x --log-format ":     "console",
		"mirror check x --effective": "--effective",
	} {
		words := strings.Split(line, " ")
		out, err := exec.Command(filepath.Join(bin, words[0]), append([]string{"__complete"}, words[1:]...)...).Output()
		if err != nil || !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(want)+`(\t|$)`).Match(out) {
			t.Errorf("%q does not offer %s: %v\n%s", line, want, err, out)
		}
	}
}

// What the image copies is there, and it is built by the same make as everything else.
func TestContainer(t *testing.T) {
	file := read(t, "deploy/container/Containerfile")
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-\n].*) \S+$`).FindAllStringSubmatch(file, -1) {
		for path := range strings.FieldsSeq(m[1]) {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("COPY %s: %v", path, err)
			}
		}
	}
	for _, want := range []string{"\nRUN make build VERSION=", "\nFROM scratch\n", "\nUSER 65532:65532\n", `ENTRYPOINT ["/usr/local/bin/mirror"]`} {
		if !strings.Contains(file, want) {
			t.Errorf("the image lacks %q", want)
		}
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))
	if !strings.Contains(file, "FROM golang:"+module[1]+" AS build") {
		t.Errorf("the image is not built by Go %s", module[1])
	}
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if used := strings.TrimSpace(line); used == "cmd" || used == "internal" || used == "go.mod" || used == "Makefile" {
			t.Errorf(".dockerignore leaves out %s", used)
		}
	}
}

func TestUnits(t *testing.T) {
	units, err := filepath.Glob(filepath.Join(root, "deploy/systemd/*"))
	if err != nil || len(units) < 5 {
		t.Fatal(units, err)
	}
	for _, path := range units {
		text := read(t, filepath.Join("deploy/systemd", filepath.Base(path)))
		for _, m := range regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/(.*)$`).FindAllStringSubmatch(text, -1) {
			accepted(t, path, strings.Fields(m[1]))
		}
		if service, timer := strings.CutSuffix(path, ".timer"); timer {
			if _, err := os.Stat(service + ".service"); err != nil {
				t.Error(err)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze: it is not asked")
		return
	}
	out, _ := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "tandem-") && !strings.Contains(line, "is not executable: No such file or directory") { // they are not installed here
			t.Error(strings.TrimSpace(line))
		}
	}
}
