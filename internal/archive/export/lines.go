package export

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"unicode/utf8"

	"tandem/internal/batch"
	"tandem/internal/stream"
)

// Lines is a file with a JSON object for each record. Transaction markers are left out; records of aborted transactions are not.
//
//	{"offset":7,"timestamp":1700000000000,"type":"CreateTime","key":"k","value":"v","headers":[{"key":"h","value":"1"}]}
//
// Bytes that are no text are in "key64" and "value64", in base64; what is null is left out.
type Lines struct {
	from, to stream.Upstream
	shaper   *batch.Shaper
	path     string
	file     *os.File
	out      *bufio.Writer
	json     *json.Encoder
}

// NewLines makes DIR/TOPIC-PARTITION/records.json. Records below from and from to on are left out.
func NewLines(dir, topic string, partition int32, from, to stream.Upstream) (*Lines, error) {
	path, err := folder(dir, topic, partition)
	if err != nil {
		return nil, err
	}
	l := &Lines{from: from, to: to, shaper: batch.NewShaper(), path: filepath.Join(path, "records.json")}
	if l.file, err = os.OpenFile(l.path+incomplete, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666); err != nil {
		return nil, err
	}
	l.out = bufio.NewWriterSize(l.file, 1<<20)
	l.json = json.NewEncoder(l.out)
	l.json.SetEscapeHTML(false)
	return l, nil
}

type line struct {
	Offset    int64    `json:"offset"`
	Timestamp int64    `json:"timestamp"`
	Type      string   `json:"type"`
	Key       *string  `json:"key,omitempty"`
	Key64     []byte   `json:"key64,omitempty"`
	Value     *string  `json:"value,omitempty"`
	Value64   []byte   `json:"value64,omitempty"`
	Headers   []header `json:"headers,omitempty"`
}

type header struct {
	Key     string  `json:"key"`
	Value   *string `json:"value,omitempty"`
	Value64 []byte  `json:"value64,omitempty"`
}

// Write adds the records of a batch.
func (l *Lines) Write(v batch.View) error {
	if v.Control() {
		return nil
	}
	if err := v.Verify(); err != nil {
		return err
	}
	kind := "CreateTime"
	if v.LogAppendTime() {
		kind = "LogAppendTime"
	}
	return l.shaper.Records(v, func(r batch.Record) error {
		if o := stream.Upstream(r.Offset); o < l.from || o >= l.to {
			return nil
		}
		key, value, headers, err := r.Split()
		if err != nil {
			return err
		}
		out := line{Offset: r.Offset, Timestamp: r.Timestamp, Type: kind}
		out.Key, out.Key64 = text(key)
		out.Value, out.Value64 = text(value)
		for _, h := range headers {
			one := header{Key: h.Key}
			one.Value, one.Value64 = text(h.Value)
			out.Headers = append(out.Headers, one)
		}
		return l.json.Encode(out)
	})
}

// text is b as text where it is that; nil is null, and left out.
func text(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if utf8.Valid(b) {
		s := string(b)
		return &s, nil
	}
	return nil, b
}

// Close gives the file its name.
func (l *Lines) Close(err error) ([]string, error) {
	if err = errors.Join(err, l.out.Flush(), l.file.Close()); err != nil {
		return nil, err
	}
	return []string{l.path}, os.Rename(l.path+incomplete, l.path)
}
