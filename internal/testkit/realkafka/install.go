package realkafka

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	"tandem/internal/testkit/cache"
)

// Version is the release of Apache Kafka that runs; pom.xml has the same one.
const Version = "4.3.1"

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// installation is Kafka on this machine: .cache/kafka-VERSION with
//
//	lock                  held with flock while something below is made
//	libs/                 the jars
//	bootstrap.checkpoint  what `StorageTool format` puts into an empty log directory, the same for every node
//	log4j2.properties
//	broker.jsa            class data of a broker that has started once (CDS): halves the start of the next; may be missing
//	pom.sha256            written last: the pom that all this was made from
type installation struct {
	dir  string
	java string
}

// installed makes sure, once per process, that Kafka is there. A run that was interrupted leaves no pom.sha256 and what
// it had begun is made anew.
var installed = sync.OnceValues(func() (installation, error) {
	root, err := cache.ModuleRoot()
	if err != nil {
		return installation{}, err
	}
	return install(filepath.Join(root, ".cache", "kafka-"+Version))
})

func install(dir string) (installation, error) {
	java, err := findJava()
	if err != nil {
		return installation{}, err
	}
	k := installation{dir: dir, java: java}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return k, fmt.Errorf("install kafka: %w", err)
	}
	unlock, err := cache.Lock(k.path("lock"))
	if err != nil {
		return k, fmt.Errorf("install kafka: %w", err)
	}
	defer unlock()

	sum := sha256.Sum256(append(bytes.Clone(pom), log4j...))
	stamp := []byte(hex.EncodeToString(sum[:]))
	if have, err := os.ReadFile(k.path("pom.sha256")); err == nil && bytes.Equal(have, stamp) {
		return k, nil
	}
	for _, step := range []func() error{k.copyJars, k.format, k.train} {
		if err := step(); err != nil {
			return k, fmt.Errorf("install kafka in %s: %w", dir, err)
		}
	}
	return k, os.WriteFile(k.path("pom.sha256"), stamp, 0o644)
}

func (k installation) path(name string) string { return filepath.Join(k.dir, name) }

// copyJars has Maven copy the jars into a directory of their own, which becomes libs only when complete.
func (k installation) copyJars() error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("install Maven (Debian: apt install maven): it fetches Kafka's jars, and `mvn` is not on the PATH")
	}
	work, err := os.MkdirTemp(k.dir, "incoming-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(k.path("log4j2.properties"), log4j, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(mvn, "-q", "-B", "-f", filepath.Join(work, "pom.xml"), "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(work, "libs"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy jars with Maven: %w\n%s", err, out)
	}
	if err := os.RemoveAll(k.path("libs")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(work, "libs"), k.path("libs"))
}

// format runs Kafka's storage tool once and keeps what it writes: a node then starts without a JVM for the tool.
func (k installation) format() error {
	work, err := os.MkdirTemp(k.dir, "incoming-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	n := node{id: 1, dir: work, controllerPort: 1, clientPort: 2, directPort: 3}
	if err := n.writeProperties(Options{}, []node{n}); err != nil {
		return err
	}
	cmd := exec.Command(k.java, append(k.jvm(toolJVM), "kafka.tools.StorageTool", "format", "-t", templateID, "-c", n.propertiesFile())...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format storage: %w\n%s", err, out)
	}
	return os.Rename(filepath.Join(n.logDir(), "bootstrap.checkpoint"), k.path("bootstrap.checkpoint"))
}

// train starts a broker and stops it, and has the JVM write down the classes that were loaded. A JVM that cannot do so
// writes nothing; brokers then start in two seconds rather than one.
func (k installation) train() error {
	work, err := os.MkdirTemp(k.dir, "incoming-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	archive := filepath.Join(work, "broker.jsa")
	_ = os.Remove(k.path("broker.jsa"))
	c, err := k.start(work, Options{JVM: append([]string{"-XX:ArchiveClassesAtExit=" + archive}, quickJVM...)})
	if err != nil {
		return err
	}
	defer c.Stop()
	_ = c.nodes[0].process.Stop(stopPatience) // its exit code is that of SIGTERM, never 0
	if err := os.Rename(archive, k.path("broker.jsa")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

const oldestJava = 17

// findJava prefers JAVA_HOME, as Kafka's own scripts do.
func findJava() (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("install a JDK, version %d or newer (Debian: apt install openjdk-17-jdk-headless): no %q found", oldestJava, java)
	}
	out, err := exec.Command(path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s -version: %w\n%s", path, err, out)
	}
	if version := javaVersion(out); version < oldestJava {
		return "", fmt.Errorf("install a JDK, version %d or newer: %s is version %d", oldestJava, path, version)
	}
	return path, nil
}

var versionText = regexp.MustCompile(`version "(\d+)`)

// javaVersion reads the feature version of `java -version`; Java 8 calls itself 1.8, which is old enough to be told as 1.
func javaVersion(out []byte) int {
	m := versionText.FindSubmatch(out)
	if m == nil {
		return 0
	}
	version, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return version
}
