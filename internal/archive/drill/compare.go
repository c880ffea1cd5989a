package drill

import "fmt"

// Difference is something that is not as it was archived.
type Difference struct {
	Source int64  // offset of the archived record; -1: the other side has one that is not archived
	There  int64  // offset on the other side; -1: it is not known
	What   string // in words
}

// String is the difference in words.
func (d Difference) String() string {
	switch {
	case d.Source < 0:
		return fmt.Sprintf("offset %d there: %s", d.There, d.What)
	case d.There < 0:
		return fmt.Sprintf("source offset %d: %s", d.Source, d.What)
	}
	return fmt.Sprintf("source offset %d, offset %d there: %s", d.Source, d.There, d.What)
}

// Restored holds what was restored against what is archived: the wanted records, one after the other, and nothing else. compared is how many
// are equal.
func Restored(archived, restored []Record) (compared int64, all []Difference) {
	i := 0
	for _, a := range archived {
		if a.Unwanted {
			continue
		}
		if i == len(restored) {
			all = append(all, Difference{Source: a.Offset, There: -1, What: "the record was not restored"})
			continue
		}
		r := restored[i]
		i++
		if what := a.differs(r, true); what != "" {
			all = append(all, Difference{Source: a.Offset, There: r.Offset, What: what + " of the restored record differs"})
			continue
		}
		compared++
	}
	for _, r := range restored[i:] {
		all = append(all, Difference{Source: -1, There: r.Offset, What: "a record was restored that is not archived"})
	}
	return compared, all
}

// Other is the other side of a stretch.
type Other struct {
	Records  []Record // from its first offset that is of the stretch to its last, in order
	LogStart int64    // what stands before is deleted
	End      int64    // of the log

	Compacted     bool // its cleaner removes records
	SourceCleaned bool // records may have gone from the source before they were archived
	AppendTime    bool // it has timestamps of its own
	Uncommitted   bool // it has records of aborted transactions too

	// Expected is the offset at which it has the record of a source offset; false: the flow has not copied it.
	Expected func(source int64) (int64, bool)
	// Source is the source offset of the record at an offset; false: it did not come from the source.
	Source func(there int64) (int64, bool)
	// Hole says that a source offset lies in a hole of the archive that is known and explained.
	Hole func(source int64) bool
	// Skips says that the flow leaves out records by design: those that came from the other side before.
	Skips bool
}

// Counts are what came of the archived records, and of what the other side has beside them.
type Counts struct {
	Compared   int64 // equal
	Expired    int64 // deleted by retention
	Compacted  int64 // removed by the cleaner
	Unwanted   int64 // of aborted transactions, or open where the stretch ends
	Skipped    int64 // not copied by design
	Unarchived int64 // on the other side only, and the archive says why
}

// Add sums up.
func (c *Counts) Add(o Counts) {
	c.Compared += o.Compared
	c.Expired += o.Expired
	c.Compacted += o.Compacted
	c.Unwanted += o.Unwanted
	c.Skipped += o.Skipped
	c.Unarchived += o.Unarchived
}

// Compare holds the other side against what is archived. Records that a compacted other side lacks are in lacking, by their index in
// archived: whether its cleaner was right is to be found out, and they are not in the counts.
func Compare(archived []Record, o Other) (c Counts, all []Difference, lacking []int) {
	there := make(map[int64]Record, len(o.Records))
	for _, r := range o.Records {
		there[r.Offset] = r
	}
	known := make(map[int64]bool, len(archived))
	for i, a := range archived {
		known[a.Offset] = true
		at, copied := o.Expected(a.Offset)
		r, has := there[at]
		switch {
		case !copied && a.Unwanted:
			c.Unwanted++
		case !copied && o.Skips:
			c.Skipped++
		case !copied:
			all = append(all, Difference{Source: a.Offset, There: -1, What: "the record was never copied"})
		case has:
			if what := a.differs(r, !o.AppendTime); what != "" {
				all = append(all, Difference{Source: a.Offset, There: at, What: what + " differs"})
				continue
			}
			c.Compared++
		case a.Unwanted && !o.Uncommitted:
			c.Unwanted++
		case at < o.LogStart:
			c.Expired++
		case at >= o.End:
			all = append(all, Difference{Source: a.Offset, There: at, What: fmt.Sprintf("the record is missing: the log ends at %d", o.End)})
		case o.Compacted:
			lacking = append(lacking, i)
		default:
			all = append(all, Difference{Source: a.Offset, There: at, What: "the record is missing"})
		}
	}
	for _, r := range o.Records {
		source, ours := o.Source(r.Offset)
		switch {
		case !ours:
			all = append(all, Difference{Source: -1, There: r.Offset, What: "a record that the source does not have: written by somebody else, or twice"})
		case known[source]:
		case o.Hole(source) || o.SourceCleaned:
			c.Unarchived++
		default:
			all = append(all, Difference{Source: source, There: r.Offset, What: "the record is not in the archive"})
		}
	}
	return c, all, lacking
}

// Superseded says which of the lacking records the cleaner may have removed: tombstones, and those that a later record has the key of.
// later are the keys of records that follow, each with the largest offset; whole says that all that follow were looked at: else what
// is not found is given the benefit of the doubt. What is left is missing.
func Superseded(archived []Record, lacking []int, later map[uint64]int64, whole bool, expected func(int64) (int64, bool)) (removed int64, all []Difference) {
	for _, i := range lacking {
		a := archived[i]
		at, ok := later[a.Key]
		if a.Tombstone || !whole || a.Keyed && ok && at > a.Offset {
			removed++
			continue
		}
		there, _ := expected(a.Offset)
		all = append(all, Difference{Source: a.Offset, There: there, What: "the record is missing, and no later one has its key"})
	}
	return removed, all
}
