package bundle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
)

// chunksOf are n chunks of 2 MiB in batches of 64 KiB: JSON lines, or noise, which is what they look like once their producer
// has compressed them.
func chunksOf(n int, compressed bool) [][]byte {
	rnd := rand.New(rand.NewPCG(4, 2))
	var all [][]byte
	for range n {
		var b []byte
		for base := int64(0); len(b) < 2<<20; base++ {
			m := made{base: base, producer: -1, times: []int64{base}}
			if compressed {
				m.codec, m.value = 3, random(64<<10)
			}
			for len(m.value) < 64<<10 {
				m.value = fmt.Appendf(m.value, `{"id":%d,"customer":"c-%d","amount":%d.%02d,"note":"%x","status":"shipped"}`, rnd.Uint64(),
					rnd.IntN(5000), rnd.IntN(900), rnd.IntN(100), rnd.Uint64())
			}
			b = append(b, m.bytes()...)
		}
		all = append(all, b)
	}
	return all
}

func benchmarkForms(b *testing.B, run func(b *testing.B, o Options, chunks [][]byte)) {
	b.Helper()
	for _, compressed := range []bool{true, false} {
		chunks := chunksOf(16, compressed)
		for _, o := range []Options{{}, {Compression: Zstd}, {Compression: Zstd, Keeper: newKeeper("k1")}} {
			o.Blocks = NewBlocks(128 << 20)
			b.Run(fmt.Sprintf("lz4=%t/%s/encrypted=%t", compressed, o.Compression, o.Keeper != nil), func(b *testing.B) {
				n := 0
				for _, c := range chunks {
					n += len(c)
				}
				b.SetBytes(int64(n))
				b.ReportAllocs()
				run(b, o, chunks)
			})
		}
	}
}

// used is the processor time of this process in seconds; it tells more than the clock where others work on the machine too.
func used(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// perSecond reports how many bytes of batches went through in a second of processor time.
func perSecond(b *testing.B, chunks [][]byte, before float64) {
	b.Helper()
	n := 0
	for _, c := range chunks {
		n += len(c)
	}
	b.ReportMetric(float64(n)*float64(b.N)/1e6/(used(b)-before), "MB/cpu-s")
}

func write(b *testing.B, o Options, chunks [][]byte) *Object {
	b.Helper()
	w := begin(b, header(), o)
	for i, c := range chunks {
		appended(b, w, Chunk{Topic: topic("orders"), Partition: int32(i), Next: 1 << 40}, c)
	}
	object, _, err := w.Finish(Digest{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return object
}

func BenchmarkWrite(b *testing.B) {
	benchmarkForms(b, func(b *testing.B, o Options, chunks [][]byte) {
		b.Helper()
		before := used(b)
		for b.Loop() {
			write(b, o, chunks).Release()
		}
		perSecond(b, chunks, before)
	})
}

func BenchmarkRead(b *testing.B) {
	benchmarkForms(b, func(b *testing.B, o Options, chunks [][]byte) {
		b.Helper()
		object := write(b, o, chunks)
		var flat bytes.Buffer
		if _, err := object.WriteTo(&flat); err != nil {
			b.Fatal(err)
		}
		var buf []byte
		before := used(b)
		for b.Loop() {
			r, err := Open(b.Context(), bytes.NewReader(flat.Bytes()), object.Size(), OpenOptions{Keeper: o.Keeper})
			if err != nil {
				b.Fatal(err)
			}
			for i := range chunks {
				if buf, err = r.Chunk(b.Context(), i, buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		perSecond(b, chunks, before)
	})
}
