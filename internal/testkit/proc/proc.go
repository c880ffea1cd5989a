package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a started child. Its methods are safe for concurrent use.
type Process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	done    chan struct{} // closed once the child was reaped; err may be read after that
	err     error
}

// Start runs the command with standard output and error appended to logFile.
func Start(logFile, command string, args ...string) (*Process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(command), err)
	}
	defer out.Close()
	p := &Process{name: filepath.Base(command), logFile: logFile, done: make(chan struct{})}
	p.cmd = exec.Command(command, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = diesWithParent()

	started := make(chan error)
	go func() {
		// The kernel's parent-death signal is sent when the thread that forked ends, not the process: this thread is
		// kept for as long as the child lives.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// PID is the process id of the child.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig; a child that has ended is not an error.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s (%s): %w", p.name, sig, err)
	}
	return nil
}

// Kill ends the child with SIGKILL and returns when it is gone. A stopped child (SIGSTOP) dies too.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // the only error is that it has ended already
	<-p.done
}

// Stop asks with SIGTERM and kills after patience. It returns the child's exit error; ErrKilled when it had to kill.
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.err
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("stop %s after %s: %w", p.name, patience, ErrKilled)
	}
}

// ErrKilled says that a child did not leave in time when asked to and was killed.
var ErrKilled = errors.New("killed: it ignored SIGTERM")

// LogTail is the end of the log, at most the given number of lines; for a failure's report.
func (p *Process) LogTail(lines int) string {
	const most = 64 << 10
	f, err := os.Open(p.logFile)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-most), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimRight(text, "\n")), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ExitedWith is an error that carries the log's tail when the child has ended, and nil while it runs.
func (p *Process) ExitedWith() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s (pid %d) ended: %s; the end of %s:\n%s", p.name, p.PID(), p.cmd.ProcessState, p.logFile, p.LogTail(40))
	default:
		return nil
	}
}
