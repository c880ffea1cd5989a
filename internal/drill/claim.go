package drill

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tandem/internal/stream"
)

// A failover drill that is going on has a claim in the same topic, so that no second one begins: the log says which was first. It is written
// anew every few seconds, so that one whose drill was killed is known by its silence, and taken back by a tombstone.
//
//	key    INT8    1    version
//	       INT8    'D'  kind
//	       STRING       "claim/" and the id of the drill
//	value  INT8    1    version
//	       JSON         id, by, since, beat; at most 4096 bytes
const claimPrefix = "claim/"

// Claim is a drill that is going on.
type Claim struct {
	ID    string    `json:"id"`
	By    string    `json:"by"` // user@host
	Since time.Time `json:"since"`
	Beat  int       `json:"beat"` // how often it was written
}

// Record is the claim as the topic keeps it.
func (c Claim) Record() (key, value []byte) {
	const most = 1000
	if len(c.By) > most {
		c.By = c.By[:most]
	}
	name := claimPrefix + c.ID
	key = binary.BigEndian.AppendUint16([]byte{stream.TandemVersion, stream.KindDrill}, uint16(len(name)))
	text, err := json.Marshal(c)
	if err != nil {
		panic("drill: " + err.Error()) // a mistake in this package: all its values have a JSON form
	}
	return append(key, name...), append([]byte{outcomeVersion}, text...)
}

// LoadClaim reads a record of the topic. The ID is empty where it is no claim; a tombstone has the ID only.
func LoadClaim(r stream.Record) (Claim, error) {
	if len(r.Key) < 4 || r.Key[0] != stream.TandemVersion || r.Key[1] != stream.KindDrill || !strings.HasPrefix(string(r.Key[4:]), claimPrefix) {
		return Claim{}, nil
	}
	id := string(r.Key[4+len(claimPrefix):])
	switch {
	case int(binary.BigEndian.Uint16(r.Key[2:])) != len(r.Key)-4 || id == "" || len(id) > maxKindBytes:
		return Claim{}, errOutcome
	case r.Value == nil:
		return Claim{ID: id}, nil
	case len(r.Value) < 1 || len(r.Value) > maxOutcomeBytes:
		return Claim{}, fmt.Errorf("%w: %d bytes", errOutcome, len(r.Value))
	case r.Value[0] != outcomeVersion:
		return Claim{}, ErrNewer
	}
	var c Claim
	if err := json.Unmarshal(r.Value[1:], &c); err != nil || c.ID != id {
		return Claim{}, fmt.Errorf("%w: claim %s", errOutcome, id)
	}
	return c, nil
}
