package integration

import (
	"fmt"
	"testing"
	"time"

	"tandem/internal/archive/bundle"
	"tandem/internal/testkit/realkafka"
)

// One broker of the source is away for a while: its partitions have no leader, those of the other topic get another one. The archive goes
// on with what has a leader, takes nothing for deleted or made anew, and has all of it in the end.
func TestArchiveWithoutLeaders(t *testing.T) {
	a := on(t, realkafka.Start(t, realkafka.Options{Brokers: 3, Config: brokerConfig}))
	a.create("leaderless-alone", 6, 1, nil)
	a.create("leaderless-moves", 3, 3, nil)
	url := "file://" + t.TempDir()
	m := startMirror(t, fmt.Sprintf(archiveProperties, "gone", a.Bootstrap, nobody(t), "leaderless-.*", url)+"A->gone.enabled = false\n")
	write := func(topic string, partitions int) {
		w := startWriter(a, topic, partitions)
		w.grows(1000)
		w.end()
	}
	write("leaderless-alone", 6)
	write("leaderless-moves", 3)
	m.until("the first records", reachesEnds(t, url, a, "leaderless-alone"))
	m.until("the first records", reachesEnds(t, url, a, "leaderless-moves"))
	a.Kill(1)
	write("leaderless-moves", 3) // under other leaders
	m.until("what has leaders", reachesEnds(t, url, a, "leaderless-moves"))
	if long() {
		<-time.After(2 * time.Minute) // as long as the scenario says
	}
	if err := a.Restart(1); err != nil {
		t.Fatal(err)
	}
	write("leaderless-alone", 6)
	for _, topic := range []string{"leaderless-alone", "leaderless-moves"} {
		m.until(topic+" in the archive", reachesEnds(t, url, a, topic))
	}
	m.stop()
	for _, topic := range []string{"leaderless-alone", "leaderless-moves"} {
		k := wantArchived(t, url, a, topic)
		for _, kind := range []bundle.Kind{bundle.KindTopicDeleted, bundle.KindTopicRecreated, bundle.KindGap} {
			if told := k.events(kind); len(told) > 0 {
				t.Errorf("%s: %q", kind, told)
			}
		}
	}
}
