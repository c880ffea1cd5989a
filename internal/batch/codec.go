package batch

import "fmt"

// Codec is the compression of a batch's records, numbered as in its attributes.
type Codec int8

// The codecs of Kafka. KeepCodec is for Shape only: rebuilt batches keep the codec of the first view.
const (
	KeepCodec Codec = -1

	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

var codecNames = [...]string{None: "none", Gzip: "gzip", Snappy: "snappy", LZ4: "lz4", Zstd: "zstd"}

// String is the codec's name as Kafka's compression.type has it; KeepCodec is "producer" there.
func (c Codec) String() string {
	if c == KeepCodec {
		return "producer"
	}
	if c < 0 || int(c) >= len(codecNames) {
		return fmt.Sprintf("codec(%d)", int8(c))
	}
	return codecNames[c]
}

// ParseCodec reads the name of a codec: none, gzip, snappy, lz4 or zstd.
func ParseCodec(name string) (Codec, error) {
	for c, n := range codecNames {
		if n == name {
			return Codec(c), nil
		}
	}
	return None, fmt.Errorf("parse compression type %q: not one of none, gzip, snappy, lz4, zstd", name)
}
