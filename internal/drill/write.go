package drill

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Name is what the report's files are called, without their endings: drill-failover-A-B-20261120T030000Z.
func (r Report) Name() string {
	return fmt.Sprintf("drill-%s-%s-%s-%s", plain(r.Kind), plain(r.Flow.Source), plain(r.Flow.Target), r.Started.UTC().Format("20060102T150405Z"))
}

// plain keeps what every file system takes in a name.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' {
			return c
		}
		return '_'
	}, s)
}

// Write puts the report into a directory, which it makes, as JSON and as a page. Each file is there whole or not at all, also when the
// machine loses power meanwhile.
func Write(dir string, r Report) (jsonPath, htmlPath string, err error) {
	data, err := r.Encode()
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", "", fmt.Errorf("write report: %w", err)
	}
	jsonPath, htmlPath = filepath.Join(dir, r.Name()+".json"), filepath.Join(dir, r.Name()+".html")
	for path, content := range map[string][]byte{jsonPath: data, htmlPath: Page(r)} {
		if err := put(path, content); err != nil {
			return "", "", fmt.Errorf("write report: %w", err)
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", "", fmt.Errorf("write report: %w", err)
	}
	defer d.Close()
	_ = d.Sync() // not every file system can
	return jsonPath, htmlPath, nil
}

func put(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".drill-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o640), f.Sync(), f.Close()) // whoever collects reports is of the group
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says what happened
	}
	return err
}
