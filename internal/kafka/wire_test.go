package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// scriptedBroker answers fetches from a script and writes down what each request named.
type scriptedBroker struct {
	seen    []string
	answers []func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error)
}

func (b *scriptedBroker) Request(_ context.Context, r kmsg.Request) (kmsg.Response, error) {
	req := r.(*kmsg.FetchRequest)
	var names []string
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			names = append(names, fmt.Sprintf("%s/%d@%d", t.Topic, p.Partition, p.FetchOffset))
		}
	}
	for _, t := range req.ForgottenTopics {
		for _, p := range t.Partitions {
			names = append(names, fmt.Sprintf("-%s/%d", t.Topic, p))
		}
	}
	slices.Sort(names)
	b.seen = append(b.seen, fmt.Sprintf("session %d epoch %d: %s", req.SessionID, req.SessionEpoch, strings.Join(names, " ")))
	answer := b.answers[0]
	b.answers = b.answers[1:]
	return answer(req)
}

func fetchAnswer(code int16) func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	return func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
		resp := kmsg.NewPtrFetchResponse()
		resp.SessionID, resp.ErrorCode = 77, code
		return resp, nil
	}
}

func TestSessionNamesOnlyWhatChanged(t *testing.T) {
	b := &scriptedBroker{answers: []func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error){
		fetchAnswer(0), fetchAnswer(0), fetchAnswer(0), fetchAnswer(70), fetchAnswer(0), fetchAnswer(0),
		func(*kmsg.FetchRequest) (*kmsg.FetchResponse, error) { return nil, errors.New("connection reset") },
		fetchAnswer(0),
	}}
	s := &Session{client: b, places: make(map[stream.Partition]stream.Place)}
	s.reopen()
	at := func(n int32, offset stream.Upstream) {
		s.Set(stream.Place{Partition: stream.Partition{Topic: "t", Number: n}, Offset: offset})
	}
	fetch := func() error {
		_, err := s.Fetch(t.Context(), stream.FetchBounds{})
		return err
	}
	at(0, 10)
	at(1, 20)
	for step, change := range []func(){
		func() {},                      // opens
		func() {},                      // nothing changed
		func() { at(0, 15); at(2, 5) }, // moved, added
		func() { s.Forget(stream.Partition{Topic: "t", Number: 1}) }, // forgotten; the broker lost the session: full again, at once
		func() { at(2, 6) },
	} {
		change()
		if err := fetch(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	if err := fetch(); err == nil {
		t.Error("a broken connection is not told")
	}
	if err := fetch(); err != nil {
		t.Error(err)
	}
	want := []string{
		"session 0 epoch 0: t/0@10 t/1@20",
		"session 77 epoch 1: ",
		"session 77 epoch 2: t/0@15 t/2@5",
		"session 77 epoch 3: -t/1",
		"session 0 epoch 0: t/0@15 t/2@5",
		"session 77 epoch 1: t/2@6",
		"session 77 epoch 2: ",
		"session 0 epoch 0: t/0@15 t/2@6",
	}
	if !slices.Equal(b.seen, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(b.seen, "\n"), strings.Join(want, "\n"))
	}
}

// fakeWire is a data-plane client of a fake cluster that has topic t with one partition.
func fakeWire(t *testing.T) (*kfake.Cluster, *Wire) {
	t.Helper()
	return fakeWireWith(t, nil)
}

func fakeWireWith(t *testing.T, properties map[string]string) (*kfake.Cluster, *Wire) {
	t.Helper()
	fake, _ := fakeCluster(t, kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	w, err := NewWire(clientOf(t, strings.Join(fake.ListenAddrs(), ","), properties))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return fake, w
}

// oneRecord is an uncompressed batch with one record.
func oneRecord(value string) []byte {
	r := kmsg.Record{Value: []byte(value)}
	body := r.AppendTo(nil)
	r.Length = int32(len(body) - 1) // without the length itself, which takes one byte here
	body = r.AppendTo(nil)
	b := kmsg.RecordBatch{
		Length: int32(batch.HeaderSize - 12 + len(body)), PartitionLeaderEpoch: -1, Magic: 2,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: body,
	}
	return b.AppendTo(nil)
}

func TestSenderKeepsTheOrderOfPipelinedRequests(t *testing.T) {
	_, w := fakeWire(t)
	ctx := within(t, 30*time.Second)
	leaders, err := w.Leaders(ctx, []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	remote := stream.Partition{Topic: "t", Number: 0}
	id, epoch, err := w.InitProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sender := w.Sender(ctx, leaders[remote].Broker)
	const requests = 400
	var (
		mu    sync.Mutex
		bases []stream.Downstream
		done  sync.WaitGroup
		slots = make(chan struct{}, 5)
	)
	for n := range int32(requests) {
		slots <- struct{}{}
		raw := oneRecord(fmt.Sprint(n))
		batch.Stamp(raw, batch.Producer{ID: id, Epoch: epoch, Sequence: n})
		done.Add(1)
		sender.Send(ctx, []stream.Appending{{Remote: remote, Batch: raw}}, func(a []stream.Appended, err error) {
			defer done.Done()
			defer func() { <-slots }()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = a[0].Err
			}
			if err != nil {
				t.Errorf("request %d: %v", n, err)
				return
			}
			bases = append(bases, a[0].Base)
		})
	}
	done.Wait()
	if !slices.IsSorted(bases) || len(bases) != requests {
		t.Errorf("%d answers, in order: %v", len(bases), slices.IsSorted(bases))
	}
}

func TestWireReadsBackWhatItWrote(t *testing.T) {
	fake, w := fakeWire(t)
	ctx := within(t, 30*time.Second)
	p := stream.Partition{Topic: "t", Number: 0}
	leaders, err := w.Leaders(ctx, []string{"t", "no-such-topic"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := leaders[p]; !ok || len(leaders) != 1 {
		t.Fatalf("leaders are %v", slices.Collect(maps.Keys(leaders)))
	}
	raw := oneRecord("hello")
	batch.Stamp(raw, batch.Producer{ID: -1, Epoch: -1, Sequence: -1})
	answered := make(chan error, 1)
	w.Sender(ctx, leaders[p].Broker).Send(ctx, []stream.Appending{{Remote: p, Batch: raw}}, func(a []stream.Appended, err error) {
		if err == nil {
			err = a[0].Err
		}
		answered <- err
	})
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]int64{stream.Earliest: 0, stream.Latest: 1} {
		offsets, failed, err := w.Offsets(ctx, []stream.Partition{p}, at)
		if err != nil || len(failed) > 0 || offsets[p] != want {
			t.Errorf("offset at %d is %d (%v, %v), want %d", at, offsets[p], failed, err, want)
		}
	}
	s := w.Session(leaders[p].Broker, false)
	id := fake.TopicInfo("t").TopicID
	s.Set(stream.Place{Partition: p, Topic: stream.TopicID(id), Epoch: -1, MaxBytes: 1 << 20})
	var fetched []stream.Fetched
	for len(fetched) == 0 && ctx.Err() == nil {
		if fetched, err = s.Fetch(ctx, stream.FetchBounds{MaxWaitMillis: 100, MinBytes: 1, MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	v, _, err := batch.Next(fetched[0].Records)
	if err != nil || v.Verify() != nil || !strings.Contains(string(v.Bytes()), "hello") {
		t.Errorf("fetched %q: %v", fetched[0].Records, err)
	}
}

// recordingBroker keeps the last request as the library gets it.
type recordingBroker struct {
	broker
	request kmsg.Request
}

func (b *recordingBroker) Request(ctx context.Context, r kmsg.Request) (kmsg.Response, error) {
	b.request = r
	return b.broker.Request(ctx, r)
}

// The broker is granted less than request.timeout.ms, and one that hangs is given up after it.
func TestProduceTakesNoLongerThanRequestTimeout(t *testing.T) {
	fake, w := fakeWireWith(t, map[string]string{"request.timeout.ms": "200"})
	ctx := within(t, 30*time.Second)
	granted := make(chan int32, 1)
	hang := make(chan struct{})
	defer close(hang)
	fake.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		granted <- r.(*kmsg.ProduceRequest).TimeoutMillis
		fake.SleepControl(func() { <-hang })
		return nil, errors.New("it never answers"), true
	})
	leaders, err := w.Leaders(ctx, []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	remote := stream.Partition{Topic: "t", Number: 0}
	failed := make(chan error, 1)
	sender := w.Sender(ctx, leaders[remote].Broker)
	asked := &recordingBroker{broker: sender.broker}
	sender.broker = asked
	sender.Send(ctx, []stream.Appending{{Remote: remote, Batch: oneRecord("x")}},
		func(_ []stream.Appended, err error) { failed <- err })
	if millis := <-granted; millis != 150 {
		t.Errorf("the broker is granted %d ms of 200, want 150", millis)
	}
	if more := asked.request.(kmsg.TimeoutRequest).Timeout(); more != 0 {
		t.Errorf("the library is told to wait for %d ms beyond request.timeout.ms", more)
	}
	// The wait itself is not measured: in the time of the test's context there is room for 200 ms, but not for 30 s.
	select {
	case err := <-failed:
		if err == nil || ctx.Err() != nil {
			t.Errorf("got %v", err)
		}
	case <-ctx.Done():
		t.Error("it waits on")
	}
}
