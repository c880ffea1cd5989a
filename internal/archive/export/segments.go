package export

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"tandem/internal/batch"
)

const (
	segmentBytes = 1 << 30 // as a broker's segment.bytes
	incomplete   = ".incomplete"
)

// Segments are the log files of one partition. Each is named by the offset of its first batch, and has its name once it is whole.
//
//	DIR/TOPIC-PARTITION/00000000000000000000.log
type Segments struct {
	dir   string
	limit int64
	files []string

	file *os.File
	out  *bufio.Writer
	base int64
	size int64
}

// NewSegments makes the folder of a partition. One that holds anything is refused.
func NewSegments(dir, topic string, partition int32) (*Segments, error) {
	path, err := folder(dir, topic, partition)
	if err != nil {
		return nil, err
	}
	return &Segments{dir: path, limit: segmentBytes}, nil
}

// folder makes the folder of a partition, in which there must be nothing.
func folder(dir, topic string, partition int32) (string, error) {
	name := fmt.Sprintf("%s-%d", topic, partition)
	if topic == "" || filepath.Base(name) != name || !filepath.IsLocal(name) {
		return "", fmt.Errorf("export %s: no name of a folder", name)
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return "", fmt.Errorf("export %s: %w", name, err)
	}
	there, err := os.ReadDir(path)
	if err != nil {
		return "", fmt.Errorf("export %s: %w", name, err)
	}
	if len(there) > 0 {
		return "", fmt.Errorf("export %s: %w: %s holds %s", name, ErrThere, path, there[0].Name())
	}
	return path, nil
}

// ErrThere says that something is where the export would write.
var ErrThere = errors.New("nothing is written over")

// Write adds a batch.
func (s *Segments) Write(v batch.View) error {
	n := int64(len(v.Bytes()))
	if s.file != nil && (s.size+n > s.limit || v.LastOffset()-s.base > math.MaxInt32) {
		if err := s.finish(); err != nil {
			return err
		}
	}
	if s.file == nil {
		s.base, s.size = v.BaseOffset(), 0
		f, err := os.OpenFile(s.path()+incomplete, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		s.file, s.out = f, bufio.NewWriterSize(f, 1<<20)
	}
	s.size += n
	_, err := s.out.Write(v.Bytes())
	return err
}

func (s *Segments) path() string { return filepath.Join(s.dir, fmt.Sprintf("%020d.log", s.base)) }

// finish gives the segment its name.
func (s *Segments) finish() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	err := errors.Join(s.out.Flush(), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(s.path()+incomplete, s.path())
	}
	s.files = append(s.files, s.path())
	return err
}

// Close ends the last segment and tells the names of all. With an error before, what is not whole keeps its name of that.
func (s *Segments) Close(err error) ([]string, error) {
	if err != nil {
		if s.file != nil {
			s.file.Close()
		}
		return s.files, err
	}
	err = s.finish()
	return s.files, err
}
