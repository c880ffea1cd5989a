package status

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// guard decides who is answered.
//
// Where a token is set, whoever knows it is, under whatever name the process is reached. Where none is set there are two that must not
// get through a browser of somebody who can reach the process: a page of another origin, and a page whose own name was made to mean
// our address (DNS rebinding).
//   - What changes something is refused to every page: browsers say Origin then. Our own page changes nothing.
//   - What is read is refused to pages of other origins, as far as the browser says that it is one.
//   - A process that listens on loopback only was not meant to be reached by any name: another one than those of this machine is refused.
//     One that listens elsewhere is reached by names that nobody told it (a Service of Kubernetes, a proxy), and whoever made that so
//     has chosen to let the network look.
type guard struct {
	token    [sha256.Size]byte
	asks     bool // for the token
	loopback bool
	names    map[string]bool // by which a process on loopback may be called
}

func newGuard(address string, listens net.Addr, token string) guard {
	g := guard{token: sha256.Sum256([]byte(token)), asks: token != "", names: map[string]bool{"localhost": true}}
	if tcp, ok := listens.(*net.TCPAddr); ok {
		g.loopback = tcp.IP.IsLoopback()
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		g.names[strings.ToLower(host)] = true
	}
	if name, err := os.Hostname(); err == nil {
		g.names[strings.ToLower(name)] = true
	}
	return g
}

// open tells whether a path needs no token: the page has no data in itself, and those who watch the process have no place for one.
func open(path string) bool {
	return path != "/metrics" && !strings.HasPrefix(path, "/api/")
}

func (g guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case g.foreign(r):
			http.Error(w, "not for web pages of others", http.StatusForbidden)
		case !g.known(r.Host):
			http.Error(w, "this process answers on this machine only, and not by the name "+name(r.Host)+
				": ask for localhost, let the proxy send that as Host, or set status.token", http.StatusForbidden)
		case !open(r.URL.Path) && !g.holds(r):
			h.Set("WWW-Authenticate", `Bearer realm="mirror"`)
			http.Error(w, "needs the token of status.token: Authorization: Bearer TOKEN", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// foreign tells that a web page asks which is not ours, or for what ours never asks.
func (g guard) foreign(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if origin := r.Header.Get("Origin"); origin != "" {
		from, err := url.Parse(origin)
		if !reads || err != nil || !strings.EqualFold(from.Host, r.Host) {
			return true
		}
	}
	// A link to the page may be followed from anywhere.
	from := r.Header.Get("Sec-Fetch-Site")
	return (from == "cross-site" || from == "same-site") && (!reads || r.Header.Get("Sec-Fetch-Mode") != "navigate")
}

// known tells whether the process may be called by the name of a Host header.
func (g guard) known(host string) bool {
	if g.asks || !g.loopback {
		return true
	}
	host = strings.ToLower(name(host))
	return net.ParseIP(host) != nil || g.names[host] || strings.HasSuffix(host, ".localhost")
}

// name is a Host header without its port.
func name(host string) string {
	if alone, _, err := net.SplitHostPort(host); err == nil {
		return alone
	}
	return strings.Trim(host, "[]")
}

// holds tells whether the request has the token. Digests are compared, so that not even its length shows in the time it takes.
func (g guard) holds(r *http.Request) bool {
	if !g.asks {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], g.token[:]) == 1
}
