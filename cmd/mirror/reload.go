package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tandem/internal/cli"
	"tandem/internal/config"
	"tandem/internal/replicate"
	"tandem/internal/stream"
)

// reloader reads the file once more while the flows run. What can change without a restart is applied; the rest is named.
type reloader struct {
	path    string
	targets []string
	level   zap.AtomicLevel
	report  stream.Report

	mu      sync.Mutex     // one reload at a time; guards what follows
	started *config.Config // what the process was started with
	applied *config.Config // the file as it was read last
	flows   []*flow
}

// reloaded is what a reload has done, or would do.
type reloaded struct {
	File    string          `json:"file"` // that was read
	DryRun  bool            `json:"dry_run"`
	Applied []config.Change `json:"applied"`
	Restart []config.Change `json:"needs_restart"` // differs from what the process was started with
}

// reload applies what the file says now. An error of the file leaves everything as it is.
func (l *reloader) reload(_ context.Context, dry bool) (reloaded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next, err := config.Load(l.path, l.targets)
	if err != nil {
		return reloaded{}, err
	}
	next.Instance = l.started.Instance
	done := reloaded{File: absolute(l.path), DryRun: dry, Applied: []config.Change{}, Restart: []config.Change{}}
	other := make(map[string]bool) // sides of flows that are to log in another way, which new credentials have to wait for
	for _, c := range config.Diff(l.started, next) {
		if !c.Live {
			done.Restart = append(done.Restart, c)
			if strings.HasSuffix(c.Key, ".security.protocol") || strings.HasSuffix(c.Key, ".sasl.mechanism") {
				other[side(c)] = true
			}
		}
	}
	for _, c := range config.Diff(l.applied, next) {
		switch {
		case c.Live && other[side(c)] && (strings.Contains(c.Key, ".sasl.") || strings.Contains(c.Key, ".ssl.")):
			c.Live = false
			done.Restart = append(done.Restart, c)
		case c.Live:
			done.Applied = append(done.Applied, c)
		}
	}
	if dry {
		return done, l.usable(next)
	}
	for _, w := range next.Warnings {
		if !slices.Contains(l.applied.Warnings, w) {
			l.report(stream.Event{Severity: stream.Warn, Message: w.String()})
		}
	}
	if err := l.apply(next, done.Restart); err != nil {
		return reloaded{}, err
	}
	l.applied = next
	l.tell(done)
	return done, nil
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// now is the configuration as of the last reload.
func (l *reloader) now() *config.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied
}

// apply hands every flow its new settings. waits are the changes that need a restart.
func (l *reloader) apply(next *config.Config, waits []config.Change) error {
	if err := l.usable(next); err != nil {
		return err
	}
	for _, f := range l.flows {
		if c := flowOf(next, f.conf().Flow); c != nil {
			f.renew(*c, !slices.ContainsFunc(waits, func(w config.Change) bool { return w.Flow == "" || w.Flow == c.String() }))
		}
	}
	l.level.SetLevel(levelNamed(next.LogLevel))
	return nil
}

// usable says whether the clients of all flows can take what a file says of them, and drills could run.
func (l *reloader) usable(next *config.Config) error {
	if err := drillsCanRun(next); err != nil {
		return err
	}
	for _, f := range l.flows {
		if c := flowOf(next, f.conf().Flow); c != nil {
			if err := f.clients.check(*c); err != nil {
				return fmt.Errorf("flow %s: %w", c.Flow, err)
			}
		}
	}
	return nil
}

func flowOf(c *config.Config, f stream.Flow) *config.Flow {
	if i := slices.IndexFunc(c.Flows, func(one config.Flow) bool { return one.Flow == f }); i >= 0 {
		return &c.Flows[i]
	}
	return nil
}

func (l *reloader) tell(done reloaded) {
	fields := make([]stream.Field, 0, len(done.Applied))
	for _, c := range done.Applied {
		fields = append(fields, stream.F(named(c), orNone(c.From)+" -> "+orNone(c.To)))
	}
	l.report(stream.Event{Message: fmt.Sprintf("reloaded %s: %s changed", l.path, cli.Counted(len(done.Applied), "setting")), Fields: fields})
	for _, c := range done.Restart {
		text := fmt.Sprintf("%s = %s needs a restart; it runs with %s", named(c), orNone(c.To), orNone(c.From))
		if c.Key == "flow" { // it has come or gone as a whole
			text = fmt.Sprintf("flow %s is %s in the file, which needs a restart", c.Flow, c.To)
		}
		l.report(stream.Event{Severity: stream.Warn, Message: text})
	}
}

// side is the flow and the cluster whose clients a change is about.
func side(c config.Change) string {
	of, _, _ := strings.Cut(c.Key, ".")
	return c.Flow + " " + of
}

// orNone is a value for people.
func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}

// named is the key of a change, with its flow.
func named(c config.Change) string {
	if c.Flow == "" {
		return c.Key
	}
	return c.Flow + " " + c.Key
}

// onHangup reloads at each SIGHUP, until ctx ends.
func (l *reloader) onHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if _, err := l.reload(ctx, false); err != nil {
				l.report(stream.Event{Severity: stream.Error, Message: "not reloaded, nothing has changed: " + err.Error()})
			}
		}
	}
}

const credentialsEvery = 10 * time.Second // between two looks at files that credentials come from

// followCredentials renews the credentials of all flows when a file has changed that a placeholder such as ${file:PATH:KEY} is filled in
// from, until ctx ends. Other settings wait for a reload.
func (l *reloader) followCredentials(ctx context.Context) {
	tick := time.NewTicker(credentialsEvery)
	defer tick.Stop()
	for seen := l.look(""); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			seen = l.look(seen)
		}
	}
}

// look renews credentials if the files are not as they were seen; nothing was seen before the first look.
func (l *reloader) look(seen string) (now string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now = stamps(l.applied.ProviderFiles); seen != "" && now != seen {
		l.renewCredentials()
	}
	return now
}

// stamps tells whether files have changed.
func stamps(files []string) string {
	var b strings.Builder
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", name, err)
			continue
		}
		fmt.Fprintf(&b, "%s: %d %s\n", name, info.Size(), info.ModTime())
	}
	return b.String()
}

func (l *reloader) renewCredentials() {
	next, err := config.Load(l.path, l.targets)
	if err == nil {
		err = l.usable(next)
	}
	if err != nil {
		l.report(stream.Event{Severity: stream.Error, Message: "a file that credentials come from has changed and is of no use; the old ones stay: " + err.Error()})
		return
	}
	for _, f := range l.flows {
		if c := flowOf(next, f.conf().Flow); c != nil {
			f.renewClients(*c)
		}
	}
	l.report(stream.Event{Message: "a file that credentials come from has changed: new connections use what it says now"})
}

// renewClients has new connections use the credentials of other settings.
func (f *flow) renewClients(next config.Flow) {
	if err := f.clients.renew(next); err != nil {
		f.tell(stream.Error, "the old credentials stay in use", stream.F("error", err))
	}
}

// renew takes settings over that need no restart. entirely says that these are all that differ.
func (f *flow) renew(next config.Flow, entirely bool) {
	now := *f.conf()
	if entirely {
		now.TakeHash(next)
	}
	f.renewClients(next)
	now.Topics, now.ConfigFilter, now.Groups = next.Topics, next.ConfigFilter, next.Groups
	now.Opposite.Topics, now.Archive.Topics = next.Opposite.Topics, next.Archive.Topics
	now.RefreshTopics, now.SyncConfigs, now.SyncACLs = next.RefreshTopics, next.SyncConfigs, next.SyncACLs
	now.Checkpoints.Interval, now.Checkpoints.Refresh, now.GroupSync = next.Checkpoints.Interval, next.Checkpoints.Refresh, next.GroupSync
	now.HeartbeatInterval, now.FlushInterval = next.HeartbeatInterval, next.FlushInterval
	now.Throttle = next.Throttle
	if f.rehearsal != nil && now.Drill.Schedule != next.Drill.Schedule {
		f.rehearsal.plan(now.Flow)
	}
	now.Drill = next.Drill
	f.settings.Store(&now)
	f.throttled()
	f.renewed.fire()
}

// throttled applies the flow's bounds.
func (f *flow) throttled() {
	t := f.conf().Throttle
	rules := make([]replicate.ThrottleRule, len(t.Topics))
	for i, r := range t.Topics {
		rules[i] = replicate.ThrottleRule{Key: r.Pattern, Matches: r.Topics.Accepts, BytesPerSecond: r.BytesPerSecond}
	}
	f.throttle.Set(t.BytesPerSecond, rules)
}

// eachSetting does something until ctx ends, and begins anew with it whenever settings have changed.
func (f *flow) eachSetting(ctx context.Context, do func(context.Context) error) error {
	for {
		renewed := f.renewed.wait()
		once, over := context.WithCancel(ctx)
		go func() {
			select {
			case <-renewed:
				over()
			case <-once.Done():
			}
		}()
		err := do(once)
		over()
		if ctx.Err() != nil || err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return nil
		}
	}
}

func levelNamed(name string) zapcore.Level {
	level, err := zapcore.ParseLevel(name)
	if err != nil {
		return zapcore.InfoLevel // config has checked the name
	}
	return level
}
