package compact

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"

	"tandem/internal/batch"
)

// Where the fields of a v2 batch stand that change with its compression; package batch has the table.
const (
	atLength     = 8
	atCRC        = 17
	atAttributes = 21

	codecBits   = 0x07
	logOverhead = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// window bounds what a reader of the batches has to keep; it is that of Kafka's own clients for large batches.
const window = 1 << 20

// encoder is safe for concurrent use.
var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(window), zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
})

// recoder compresses batches anew. It is not safe for concurrent use.
type recoder struct {
	shaper  *batch.Shaper
	encoder *zstd.Encoder
	old     []byte
}

func newRecoder() (*recoder, error) {
	e, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &recoder{shaper: batch.NewShaper(), encoder: e}, nil
}

// chunk appends the batches of a chunk, compressed anew where that gains something.
func (r *recoder) chunk(dst, b []byte) ([]byte, error) {
	for len(b) > 0 {
		v, rest, err := batch.Next(b)
		if err == nil {
			dst, err = r.batch(dst, v)
		}
		if err != nil {
			return dst, err
		}
		b = rest
	}
	return dst, nil
}

func (r *recoder) batch(dst []byte, v batch.View) ([]byte, error) {
	if err := v.Verify(); err != nil {
		return dst, err // what is damaged must not get a CRC that says it is whole
	}
	if v.Magic() != 2 || v.Control() || v.Codec() == batch.None || v.Records() == 0 {
		return append(dst, v.Bytes()...), nil
	}
	plain, err := r.shaper.Plain(v)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = r.encoder.EncodeAll(plain, append(dst, v.Bytes()[:batch.HeaderSize]...))
	made := dst[start:]
	if len(made) >= len(v.Bytes()) {
		return append(dst[:start], v.Bytes()...), nil
	}
	binary.BigEndian.PutUint32(made[atLength:], uint32(len(made)-logOverhead))
	attributes := binary.BigEndian.Uint16(made[atAttributes:])&^codecBits | uint16(batch.Zstd)
	binary.BigEndian.PutUint16(made[atAttributes:], attributes)
	binary.BigEndian.PutUint32(made[atCRC:], crc32.Checksum(made[atAttributes:], castagnoli))
	return dst, nil
}
