package realkafka

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"

	"tandem/internal/testkit/proc"
)

var toolJVM = []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"}

// jvm is the start of every java command line: options, logging, class path.
func (k installation) jvm(options []string) []string {
	args := append([]string{"-Dlog4j2.configurationFile=file:" + k.path("log4j2.properties")}, options...)
	if _, err := os.Stat(k.path("broker.jsa")); err == nil {
		args = append(args, "-XX:SharedArchiveFile="+k.path("broker.jsa"))
	}
	return append(args, "-cp", k.path("libs")+"/*")
}

// Java runs a class of the Kafka release to its end and returns its standard output; an error carries standard error.
// Console consumers need --timeout-ms or --max-messages to come to an end by themselves.
func Java(ctx context.Context, class string, args ...string) (string, error) {
	k, err := installed()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, k.java, append(append(k.jvm(toolJVM), class), args...)...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("run %s: %w\n%s%s", class, err, out.Bytes(), complaint.Bytes())
	}
	return out.String(), nil
}

// mm2JVM is what kafka-run-class.sh and connect-mirror-maker.sh pass.
var mm2JVM = []string{"-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
	"-Drealkafka.log.level=INFO"}

// StartMM2 starts MirrorMaker 2 with the JVM options of its own script; extra ones, such as another heap, come after and
// win. The caller must Stop or Kill it.
func StartMM2(propertiesFile, logFile string, extra ...string) (*proc.Process, error) {
	k, err := installed()
	if err != nil {
		return nil, err
	}
	args := []string{"-Dlog4j2.configurationFile=file:" + k.path("log4j2.properties")}
	args = append(args, mm2JVM...)
	args = append(args, extra...)
	args = append(args, "-cp", k.path("libs")+"/*", "org.apache.kafka.connect.mirror.MirrorMaker", propertiesFile)
	return proc.Start(logFile, k.java, args...)
}
