package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// CPU is the processor time, user and system, that the child has used so far.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read cpu time of %s: %w", p.name, err)
	}
	cpu, err := parseStat(text)
	if err != nil {
		return 0, fmt.Errorf("read cpu time of %s: %w", p.name, err)
	}
	return cpu, nil
}

// TotalCPU is the processor time of the child's whole life; it waits for its end.
func (p *Process) TotalCPU() time.Duration {
	<-p.done
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// PeakRSS is the most memory, in bytes, that was ever resident (VmHWM).
func (p *Process) PeakRSS() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read peak memory of %s: %w", p.name, err)
	}
	peak, err := parseStatus(text)
	if err != nil {
		return 0, fmt.Errorf("read peak memory of %s: %w", p.name, err)
	}
	return peak, nil
}

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, 100 on every Linux that Go runs on.
const clockTick = time.Second / 100

// parseStat reads utime and stime, the 14th and 15th field. The second field, the command in parentheses, may hold
// blanks and parentheses itself, so counting starts after the last one.
func parseStat(text []byte) (time.Duration, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields after the command", len(fields))
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(user+system) * clockTick, nil
}

func parseStatus(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		value, ok := bytes.CutPrefix(line, []byte("VmHWM:"))
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(value), []byte("kB")))), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("no VmHWM line: the process has ended")
}
