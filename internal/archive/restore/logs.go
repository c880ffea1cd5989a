package restore

import (
	"fmt"

	"tandem/internal/archive/catalog"
	"tandem/internal/stream"
)

// Logs are the logs of the plan's partitions, made of a state of the archive: that of the plan, or a later one.
func (p *Plan) Logs(state *catalog.State, chunks Chunks) (map[stream.Partition]*Log, error) {
	lives := make(map[place]*catalog.Life)
	for _, list := range [][]catalog.Life{state.Past, state.Lives} {
		for i := range list {
			lives[lifeOf(list[i].Topic.Name, IDText(list[i].Topic.ID), list[i].Topic.Incarnation)] = &list[i]
		}
	}
	logs := make(map[stream.Partition]*Log)
	for _, t := range p.Topics {
		life := lives[lifeOf(t.Name, t.ID, t.Incarnation)]
		for _, x := range t.Parts {
			at := stream.Partition{Topic: t.Name, Number: x.Number}
			part, ok := partOf(life, x.Number)
			if !ok {
				return nil, fmt.Errorf("the archive no longer has %s, which the restore was begun with", at)
			}
			cut := p.cut(part)
			cut.From, cut.End = max(cut.From, x.From), x.End
			log := NewLog(part, cut, chunks)
			if log.First() > x.From || log.End() < x.End {
				return nil, fmt.Errorf("the archive has offsets %d to %d of %s; the restore was begun with %d to %d",
					log.First(), log.End()-1, at, x.From, x.End-1)
			}
			logs[at] = log
		}
	}
	return logs, nil
}

func lifeOf(name, id string, incarnation int32) place {
	p := place{topic: name}
	if id == "" {
		p.life = incarnation
		return p
	}
	p.topic += " " + id
	return p
}

func partOf(life *catalog.Life, number int32) (catalog.Part, bool) {
	if life == nil {
		return catalog.Part{}, false
	}
	for _, part := range life.Parts {
		if part.Number == number {
			return part, true
		}
	}
	return catalog.Part{}, false
}

// Totals are the sums of a plan.
type Totals struct {
	Topics, Partitions int
	Records            int64
	Exact              bool
	Bytes              int64
	Lost               int // holes that nothing explains
}

// Totals sums up.
func (p *Plan) Totals() Totals {
	t := Totals{Topics: len(p.Topics), Exact: true}
	for _, topic := range p.Topics {
		t.Partitions += int(topic.Partitions)
		for _, part := range topic.Parts {
			t.Records += part.Records
			t.Exact = t.Exact && part.Exact
			t.Bytes += part.Bytes
			for _, h := range part.Holes {
				if h.Lost {
					t.Lost++
				}
			}
		}
	}
	return t
}
