package doctor

import (
	"fmt"
	"testing"
)

// What of a Java expression an ACL can say. It never covers less than the expression matches, as long as dots are meant as dots.
func TestResources(t *testing.T) {
	for expression, want := range map[string]string{
		"orders":             "orders",
		"orders.v1":          "orders.v1",
		`orders\.v1`:         "orders.v1",
		"orders.*":           "orders+",
		`team\.a\..*`:        "team.a.+",
		"orders-[0-9]+":      "orders-+",
		"orders?":            "order+",
		"ordersx*":           "orders+",
		".*":                 "*",
		".+":                 "*",
		"(a|b)-.*":           "*",
		"a-.*|b":             "a-+ b",
		`\Qa.b\E`:            "*",
		"a{2}":               "*",
		`a\.+`:               "a+",
		"^orders$":           "*",
		"orders$":            "orders+",
		"mm2-status.A.inter": "mm2-status.A.inter",
	} {
		got := ""
		for _, r := range resources(expression) {
			if got != "" {
				got += " "
			}
			got += r.Name
			if r.Prefixed {
				got += "+"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", expression, got, want)
		}
	}
}

func FuzzResources(f *testing.F) {
	for _, s := range []string{"orders", "a|b", `a\.b`, "(x", "a**"} {
		f.Add(s, "orders")
	}
	f.Fuzz(func(t *testing.T, expression, name string) {
		for _, r := range resources(expression) {
			if r.Name == "*" && r.Prefixed || r.Probe() == "" && r.Prefixed {
				t.Error(fmt.Sprint(r))
			}
		}
	})
}
