package page

import (
	"os"
	"testing"

	"tandem/internal/testkit/browser"
	"tandem/internal/testkit/realkafka"
)

func TestMain(m *testing.M) { os.Exit(realkafka.Main(m)) }

var (
	desk  = browser.View{Width: 1280, Height: 900}
	phone = browser.View{Width: 360, Height: 780, Phone: true}
)

func dark(v browser.View) browser.View { v.Dark = true; return v }

// shots keeps pictures of a page for who looks at what CI leaves: on a desk and a phone, in the light and in the dark.
func shots(tab *browser.Tab, name string) {
	tab.Do("scrollTo(0, 0)")
	for suffix, v := range map[string]browser.View{"desk-light": desk, "desk-dark": dark(desk), "phone-light": phone, "phone-dark": dark(phone)} {
		tab.Look(v)
		tab.Screenshot("screenshots/" + name + "-" + suffix + ".png")
	}
	tab.Look(desk)
}
