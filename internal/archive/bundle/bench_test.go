package bundle

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
)

// chunksOf are n chunks of 2 MiB: of JSON-like text in batches of 64 KiB, compressed by their producer or not.
func chunksOf(n int, compressed bool) [][]byte {
	var all [][]byte
	for i := range n {
		var b []byte
		for base := int64(0); len(b) < 2<<20; {
			m := made{base: base, producer: -1}
			if compressed {
				m.codec, m.times, m.value = 3, []int64{1}, random(64<<10) // noise, as what lz4 makes looks like
			} else {
				for k := range int64(72) {
					m.times = append(m.times, k)
				}
				for k := range 10 {
					m.value = fmt.Appendf(m.value, `{"id":%d,"customer":"c-%d","amount":%d,"note":"%x"}`, i*k, base%977, base*31, random(12+k))
				}
			}
			b = append(b, m.bytes()...)
			base += int64(len(m.times))
		}
		all = append(all, b)
	}
	return all
}

func benchmarkForms(b *testing.B, run func(b *testing.B, o Options, chunks [][]byte)) {
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
				before := used(b)
				run(b, o, chunks)
				b.ReportMetric(float64(n)*float64(b.N)/1e6/(used(b)-before), "MB/cpu-s")
			})
		}
	}
}

// used is the processor time of this process in seconds; it tells more than the clock where others work on the machine too.
func used(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func write(b *testing.B, o Options, chunks [][]byte) *Object {
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
		for b.Loop() {
			write(b, o, chunks).Release()
		}
	})
}

func BenchmarkRead(b *testing.B) {
	benchmarkForms(b, func(b *testing.B, o Options, chunks [][]byte) {
		object := write(b, o, chunks)
		var flat bytes.Buffer
		if _, err := object.WriteTo(&flat); err != nil {
			b.Fatal(err)
		}
		var buf []byte
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
	})
}
