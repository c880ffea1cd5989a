package browser

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	has := func(programs ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			if slices.Contains(programs, name) {
				return "/somewhere/" + name, nil
			}
			return "", exec.ErrNotFound
		}
	}
	for _, c := range []struct {
		story, named string
		look         func(string) (string, error)
		installs     error
		path, says   string
	}{
		{"the one that is named", "mine", has("mine", "chromium"), nil, "/somewhere/mine", ""},
		{"the one that is named is not there, and no other is taken for it", "mine", has("chromium"), nil, "", "$CHROMIUM"},
		{"Debian's", "", has("chromium"), nil, "/somewhere/chromium", ""},
		{"another one", "", has("google-chrome"), nil, "/somewhere/google-chrome", ""},
		{"none, and no right to install it", "", has(), errors.New("only root can install it"), "", "apt-get install chromium"},
		{"installed, and still none", "", has(), nil, "", "PATH has no program"},
	} {
		t.Run(c.story, func(t *testing.T) {
			path, err := find(c.named, c.look, func() error { return c.installs })
			if path != c.path || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q, %v", path, err)
			}
		})
	}
}
