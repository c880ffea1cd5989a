// Package browser runs a real Chromium without a window, for tests of pages.
//
// In comes nothing but the test; out comes a Browser with tabs of a given size and theme, each of which remembers every request it
// made, everything that went to the console, and every violation of the content security policy. A tab runs scripts, presses keys,
// reads what is on the page and takes screenshots.
//
// The program is $CHROMIUM, or what PATH has as chromium, chromium-browser or google-chrome. Where there is none, root installs
// Debian's package with apt-get; tests of several packages that start at once take turns. Anybody else is told what to install: a test
// that needs a browser fails without one, it does not skip.
//
// The browser is started with an empty profile and told to ask nobody for anything of its own accord. It runs without Chromium's own
// sandbox, which a container's root cannot have: it is for pages of this repository only.
//
// Not guaranteed: speed, and that two machines render the same pixels.
package browser
