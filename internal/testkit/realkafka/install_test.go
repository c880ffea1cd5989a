package realkafka

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJavaVersion(t *testing.T) {
	for text, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment": 17,
		"java version \"21\" 2023-09-19 LTS":                                  21,
		"java version \"1.8.0_392\"":                                          1,
		"command not found":                                                   0,
	} {
		if got := javaVersion([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestThePomNamesTheSameVersion(t *testing.T) {
	if !strings.Contains(string(pom), "<kafka.version>"+Version+"</kafka.version>") {
		t.Fatalf("pom.xml does not ask for Kafka %s", Version)
	}
}

// What is missing on the machine is named, with the way to get it.
func TestMissingTools(t *testing.T) {
	java, err := findJava()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		setUp func(t *testing.T)
		want  string
	}{
		{"no JDK", func(t *testing.T) { t.Setenv("JAVA_HOME", ""); t.Setenv("PATH", t.TempDir()) }, "install a JDK, version 17"},
		{"JAVA_HOME leads nowhere", func(t *testing.T) { t.Setenv("JAVA_HOME", "/no/such/jdk") }, "install a JDK, version 17"},
		{"an old JDK", func(t *testing.T) {
			home := t.TempDir()
			script(t, filepath.Join(home, "bin", "java"), `echo 'openjdk version "11.0.2"' >&2`)
			t.Setenv("JAVA_HOME", home)
		}, "is version 11"},
		{"no Maven", func(t *testing.T) {
			path := t.TempDir()
			if err := os.Symlink(java, filepath.Join(path, "java")); err != nil {
				t.Fatal(err)
			}
			t.Setenv("JAVA_HOME", "")
			t.Setenv("PATH", path)
		}, "install Maven"},
		{"Maven fails", func(t *testing.T) {
			path := t.TempDir()
			script(t, filepath.Join(path, "mvn"), "echo 'cannot reach the repository'; exit 1")
			t.Setenv("PATH", path+":"+os.Getenv("PATH"))
		}, "cannot reach the repository"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.setUp(t)
			dir := t.TempDir()
			_, err := install(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "pom.sha256")); err == nil {
				t.Fatal("a failed installation counts as done")
			}
		})
	}
}

func script(t *testing.T, file, body string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestLeasedPortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		lease, err := leasePorts(6)
		if err != nil {
			t.Fatal(err)
		}
		defer lease.release()
		for _, port := range lease.ports {
			if seen[port] {
				t.Fatalf("port %d was given twice", port)
			}
			seen[port] = true
		}
	}
}
