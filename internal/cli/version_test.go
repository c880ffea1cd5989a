package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	said := func(version string, args ...string) string {
		var out bytes.Buffer
		cmd := Version("archive", version)
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if s := said("1.2"); !strings.HasPrefix(s, "archive 1.2 (go1") {
		t.Error(s)
	}
	var info Info
	if err := json.Unmarshal([]byte(said("", "--json")), &info); err != nil || info.Version == "" || !strings.HasPrefix(info.Go, "go1") {
		t.Errorf("%+v, %v", info, err)
	}
}
