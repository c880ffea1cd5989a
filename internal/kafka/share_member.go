package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"tandem/internal/stream"
)

// membership is one stay in the group. One goroutine, run, owns the fields; requests run beside it and hand it what to do with their
// answers, so that it never waits for a broker and heartbeats go on during everything.
type membership struct {
	share *Share
	conf  ShareConfig
	link  *shareLink
	held  *holding

	answers chan func(now time.Time) error
	ops     sync.WaitGroup
	opsCtx  context.Context //nolint:containedctx // ends with run; requests begin in many places

	me       identity
	tried    bool // a join was sent
	ever     bool // a round was gone through
	stopping bool

	// A round: from the join to the answer to the sync.
	epoch      int // answers from before the last loss are not for us
	joining    bool
	cancelJoin context.CancelFunc
	why        string // a round is needed, "" not
	notBefore  time.Time
	failures   int
	asks       uint64
	counts     map[string]int32 // partitions of the wanted topics, as the last join said
	stamp      uint64           // of the last join
	askedFor   uint64           // stamp that a round was asked for, since the leader knew another

	// What the last round brought.
	assigned []stream.Partition
	pending  int  // partitions of ours that others wait for
	doubt    bool // all was dropped, but the group may count us in still: a heartbeat tells

	alive    time.Time // when the last request was sent whose answer showed that we are in the group
	turn     time.Time // when run last had the processor
	beating  bool
	looking  bool
	nextBeat time.Time
	nextLook time.Time
	lastErr  error // of heartbeats
}

// looksEvery is how many heartbeats lie between two looks at the number of partitions.
const looksEvery = 5

func newMembership(s *Share, link *shareLink, held *holding) *membership {
	return &membership{
		share: s, conf: s.conf, link: link, held: held,
		answers: make(chan func(time.Time) error), me: identity{generation: -1}, why: "joining", cancelJoin: func() {},
	}
}

func (m *membership) run(ctx context.Context) error {
	opsCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer m.ops.Wait()
	defer cancel()
	m.opsCtx = opsCtx
	tick := time.NewTicker(m.conf.Heartbeat)
	defer tick.Stop()
	retry := time.NewTimer(m.conf.Heartbeat)
	defer retry.Stop()
	m.turn = time.Now()
	stop := ctx.Done()
	var stopped <-chan time.Time // the group no longer waits for what we let go
	for {
		m.begin(time.Now())
		if pause := time.Until(m.notBefore); m.why != "" && !m.joining && pause > 0 {
			retry.Reset(pause)
		}
		if m.stopping && m.held.empty() {
			return m.leave(opsCtx)
		}
		var answer func(time.Time) error
		select {
		case <-stop:
			stop, m.stopping = nil, true
			stopped = time.After(m.conf.Rebalance)
			m.endRound()
			m.held.aim(nil)
		case <-stopped:
			return m.leave(opsCtx)
		case answer = <-m.answers:
		case <-m.share.wanted:
			m.ask("other topics are wanted, or settings are others")
		case <-m.held.changed:
		case <-tick.C:
		case <-retry.C:
		}
		now := time.Now()
		m.watch(now) // before anything that was in the pipe when the process was stopped
		if answer == nil {
			continue
		}
		if err := answer(now); err != nil {
			m.lose("")
			return m.link.refusal(err, m.share.client.Bootstrap())
		}
	}
}

// leave ends the membership, of a static member too, so that its partitions move at once.
func (m *membership) leave(ctx context.Context) error {
	if m.me.id == "" && (m.conf.Instance == "" || !m.tried) {
		return nil
	}
	err := m.link.leave(ctx, m.me.id)
	if err != nil && judge(err) != outside {
		m.share.report(stream.Warn, "cannot leave the group: its partitions move when the session ends", stream.F("error", Explain(err)))
	}
	return nil
}

// watch drops everything when the group surely counts us out: a process that was stopped looks at its clock first, one whose
// coordinator is silent gives it the time to come back elsewhere.
func (m *membership) watch(now time.Time) {
	stood := now.Sub(m.turn)
	m.turn = now
	silent, limit := now.Sub(m.alive), 2*m.conf.Session
	if stood > 2*m.conf.Heartbeat {
		limit = m.conf.Session
	}
	if silent <= limit || m.doubt || m.held.empty() {
		return
	}
	reason := "the group's coordinator is silent"
	switch {
	case stood > 2*m.conf.Heartbeat:
		reason = "this process stood still"
	case m.lastErr != nil:
		reason += ": " + Explain(m.lastErr)
	}
	again := m.joining
	m.lose(fmt.Sprintf("%s (for %v)", reason, silent.Round(time.Millisecond)))
	if m.doubt = !again; again {
		m.ask("joining again")
	}
}

// lose gives up all that we hold, and whatever round is under way. What others may have by now is not ours to let go gently.
func (m *membership) lose(reason string) {
	m.endRound()
	if reason != "" && !m.held.empty() {
		m.share.report(stream.Warn, "lost all partitions: "+reason)
	}
	m.held.drop()
}

func (m *membership) endRound() {
	m.epoch++
	m.cancelJoin()
	m.joining = false
}

// out is for when the group says that it goes on without us.
func (m *membership) out(err error) {
	m.lose("the group went on without this process: " + Explain(err))
	m.me.generation, m.assigned, m.pending, m.doubt = -1, nil, 0, false
	if code, _ := stream.CodeOf(err); int16(code) == kerr.UnknownMemberID.Code {
		m.me.id = ""
	}
	m.share.setMember(m.me)
	m.ask("joining again")
}

// ask wants a round for a reason of ours: the number makes Kafka see a subscription that has changed.
func (m *membership) ask(why string) {
	m.why = why
	m.asks++
}

// later has a round begin after a pause, since the last one failed.
func (m *membership) later(err error) {
	m.failures++
	m.notBefore = time.Now().Add(m.share.client.backoff(m.failures))
	if m.why == "" {
		m.why = "trying again"
	}
	if m.failures == 3 { // what passes at once is not news
		m.share.report(stream.Warn, "cannot join the group, trying again", stream.F("error", Explain(err)))
	}
}

// do runs a request beside run. What it returns is done with its answer, in run.
func (m *membership) do(request func() func(now time.Time) error) {
	m.ops.Go(func() {
		answer := request()
		select {
		case m.answers <- answer:
		case <-m.opsCtx.Done():
		}
	})
}

// begin sends what is due.
func (m *membership) begin(now time.Time) {
	if m.me.generation >= 0 && !m.beating && !now.Before(m.nextBeat) {
		m.beat(now)
	}
	if m.stopping || m.joining {
		return
	}
	if m.pending > 0 && m.why == "" && !m.doubt {
		if _, going := m.held.claims(); len(going) == 0 {
			m.ask("partitions were let go")
			m.pending = 0
		}
	}
	switch {
	case m.why != "":
		if !now.Before(m.notBefore) && m.held.settled() {
			m.join()
		}
	case m.me.generation >= 0 && !m.looking && !now.Before(m.nextLook):
		m.look(now)
	}
}

func (m *membership) beat(now time.Time) {
	m.beating, m.nextBeat = true, now.Add(m.conf.Heartbeat)
	me, epoch := m.me, m.epoch
	m.do(func() func(time.Time) error {
		err := m.link.heartbeat(m.opsCtx, me)
		return func(time.Time) error {
			m.beating = false
			if epoch != m.epoch || me.id != m.me.id {
				return nil
			}
			return m.beaten(now, me, err)
		}
	})
}

// beaten takes the answer to a heartbeat.
func (m *membership) beaten(sent time.Time, as identity, err error) error {
	m.lastErr = err
	switch judge(err) {
	case inGroup:
		m.heard(sent)
		if m.doubt && !m.joining && !m.stopping {
			m.doubt = false
			m.held.aim(m.assigned)
		}
	case inRound:
		m.heard(sent)
		if !m.joining && m.why == "" && as.generation == m.me.generation {
			m.why = "the group divides anew"
		}
		m.doubt = false
	case outside:
		code, _ := stream.CodeOf(err)
		if int16(code) == kerr.IllegalGeneration.Code && (m.joining || as.generation != m.me.generation) {
			return nil // a round has ended while the heartbeat was on its way
		}
		m.out(err)
	case mustStop:
		return err
	case unclear:
	}
	return nil
}

func (m *membership) heard(sent time.Time) {
	if sent.After(m.alive) {
		m.alive = sent
	}
}

// look counts partitions again: topics are made and widened.
func (m *membership) look(now time.Time) {
	m.looking, m.nextLook = true, now.Add(looksEvery*m.conf.Heartbeat)
	topics := m.share.wants()
	m.do(func() func(time.Time) error {
		counts, err := m.link.look(m.opsCtx, topics)
		return func(time.Time) error {
			m.looking = false
			if err == nil && m.why == "" && grown(m.counts, counts) {
				m.ask("topics have more partitions")
			}
			return nil
		}
	})
}

// join begins a round.
func (m *membership) join() {
	keep, going := m.held.claims()
	topics, settings := m.share.takeWants()
	s := &subscription{settings: settings, host: m.conf.Host, generation: m.me.generation, asks: m.asks, keep: keep, going: going}
	id, why, before, epoch := m.me.id, m.why, m.counts, m.epoch
	ctx, cancel := context.WithCancel(m.opsCtx)
	m.joining, m.cancelJoin, m.why, m.tried = true, cancel, "", true
	m.do(func() func(time.Time) error {
		defer cancel()
		now, err := m.link.look(ctx, topics)
		if err != nil {
			now = nil // what was known has to do: a round must not wait for metadata
		}
		s.counts = most(before, now, topics)
		s.sign()
		j, err := m.link.join(ctx, id, s, why)
		return func(now time.Time) error {
			if epoch != m.epoch {
				if m.me.id == "" {
					m.me.id = j.id
				}
				return nil
			}
			return m.joined(now, s, j, err)
		}
	})
}

// joined takes the answer to a join.
func (m *membership) joined(now time.Time, s *subscription, j round, err error) error {
	if err == nil {
		m.me = j.identity
		m.share.setMember(m.me)
		m.heard(now)
		m.doubt = false
		m.counts, m.stamp = s.counts, s.stamp
		m.sync(j)
		return nil
	}
	if code, _ := stream.CodeOf(err); int16(code) == kerr.MemberIDRequired.Code {
		m.joining, m.me.id = false, j.id
		m.ask("joining under the id that the group gave")
		return nil
	}
	return m.failed(err)
}

// failed takes the error of a join or a sync.
func (m *membership) failed(err error) error {
	m.joining = false
	switch judge(err) {
	case outside:
		m.out(err)
	case mustStop:
		return err
	case inGroup, inRound:
		m.why = "the group divides anew"
	case unclear:
		if !m.ever && hopeless(err) {
			return err
		}
		m.later(err)
	}
	return nil
}

// sync ends a round; the leader divides first.
func (m *membership) sync(j round) {
	epoch := m.epoch
	ctx, cancel := context.WithCancel(m.opsCtx)
	m.cancelJoin = cancel
	m.do(func() func(time.Time) error {
		defer cancel()
		var strange error
		given, rows, err := []stream.Partition(nil), []shareRow(nil), error(nil)
		if j.leader {
			parts, s := divide(j.members)
			strange = s
			given, rows, err = m.link.sync(ctx, j.identity, parts)
		} else {
			given, rows, err = m.link.sync(ctx, j.identity, nil)
		}
		return func(now time.Time) error {
			if epoch != m.epoch {
				return nil
			}
			if strange != nil {
				m.share.report(stream.Warn, "a member cannot be understood and gets nothing: is it of another version?",
					stream.F("error", strange.Error()))
			}
			if err != nil {
				return m.failed(err)
			}
			m.synced(now, given, rows)
			return nil
		}
	})
}

// synced takes what a round has brought.
func (m *membership) synced(now time.Time, given []stream.Partition, rows []shareRow) {
	if m.failures >= 3 {
		m.share.report(stream.Info, "joined the group again")
	}
	m.joining, m.ever, m.failures, m.notBefore = false, true, 0, time.Time{}
	m.assigned, m.pending = given, 0
	m.nextLook = now.Add(looksEvery * m.conf.Heartbeat)
	if m.stopping {
		return
	}
	m.held.aim(given)
	members := make([]ShareMember, len(rows))
	for i, row := range rows {
		members[i] = row.ShareMember
		if row.ID != m.me.id && (row.Instance == "" || row.Instance != m.conf.Instance) {
			continue
		}
		// A static member that was started again is handed its old part without a round: what others wait for, it has let go
		// by dying, and what it wants may be something else by now.
		m.pending = row.pending
		if row.stamp != m.stamp && m.askedFor != m.stamp {
			m.askedFor = m.stamp
			m.ask("the leader has not heard of what is wanted now")
		}
	}
	if m.conf.Members != nil {
		m.conf.Members(members)
	}
}
