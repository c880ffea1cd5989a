package kafka

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// Keys that stand beside sasl.jaas.config since Kafka 4.1; before it was all options of the login module.
const (
	oauthURL          = "sasl.oauthbearer.token.endpoint.url"
	oauthScope        = "sasl.oauthbearer.scope"
	oauthClientID     = "sasl.oauthbearer.client.credentials.client.id"
	oauthClientSecret = "sasl.oauthbearer.client.credentials.client.secret"
)

// tokens gets tokens for OAUTHBEARER: from an endpoint, by client credentials (RFC 6749 §4.4), or from a file. A token serves
// all connections until it is near its end. It asks nobody before a connection needs one.
type tokens struct {
	fetch func(context.Context) (token, error)

	mu   sync.Mutex
	held token
}

// token is one token and when it is to be replaced and when it ends, zero for a token that does not say.
type token struct {
	text       string
	renew, end time.Time
}

// oauthLogin reads the options of OAuthBearerLoginModule and the keys beside them.
func oauthLogin(options, props map[string]string, tell func(Renewal)) (*login, error) {
	endpoint := strings.TrimSpace(props[oauthURL])
	if endpoint == "" {
		return nil, fmt.Errorf("read %s: not set; it is where OAUTHBEARER gets its tokens from (unsecured tokens are not made here)", oauthURL)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("read %s: not a URL", oauthURL)
	}
	extensions := make(map[string]string)
	for name, value := range options {
		if name, ok := strings.CutPrefix(name, "extension_"); ok {
			if name == "" || name == "auth" || strings.ContainsAny(name+value, "\x00\x01") {
				return nil, fmt.Errorf("read sasl.jaas.config: extension_%s is no extension that Kafka takes", name)
			}
			extensions[name] = value
		}
	}
	t, l := new(tokens), new(login)
	switch u.Scheme {
	case "file":
		t.fetch = func(context.Context) (token, error) { return readToken(u.Path) }
		l.user = "the token of " + u.Path
	case "http", "https":
		e, err := newEndpoint(u, options, props)
		if err != nil {
			return nil, err
		}
		if e.stores != nil {
			e.stores.tell = tell
		}
		t.fetch, l.user, l.stores = e.fetch, e.id, e.stores
	default:
		return nil, fmt.Errorf("read %s: %q is none of https, http, file", oauthURL, u.Scheme)
	}
	l.mechanism = oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		text, err := t.current(ctx, time.Now())
		return oauth.Auth{Token: text, Extensions: maps.Clone(extensions)}, err
	})
	return l, nil
}

// current is a token that is good for a new login. When a token is near its end and no other is to be had, it serves on.
func (t *tokens) current(ctx context.Context, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held.text != "" && now.Before(t.held.renew) {
		return t.held.text, nil
	}
	anew, err := t.fetch(ctx)
	switch {
	case err == nil:
		t.held = anew
	case t.held.text == "" || !now.Before(t.held.end):
		return "", err
	}
	return t.held.text, nil
}

// tokenOf reads when a token ends from its claims, or, where it is no JWT, from what the endpoint said. It is replaced after
// four fifths of its time, which is sasl.login.refresh.window.factor's default.
func tokenOf(text string, lasts time.Duration, now time.Time) token {
	t := token{text: text, renew: now, end: now}
	if lasts > 0 {
		t.end = now.Add(lasts)
	}
	if parts := strings.Split(text, "."); len(parts) == 3 {
		var claims struct {
			End float64 `json:"exp"`
		}
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
		if err == nil && json.Unmarshal(raw, &claims) == nil && claims.End > 0 && claims.End < 1<<40 {
			t.end = time.Unix(int64(claims.End), 0)
		}
	}
	t.renew = now.Add(t.end.Sub(now) / 5 * 4)
	return t
}

// mostToken bounds what a token endpoint or file may send.
const mostToken = 1 << 20

// readToken reads a file that somebody else keeps fresh: it is looked at for each login.
func readToken(file string) (token, error) {
	content, err := readBounded(file)
	if err != nil {
		return token{}, fmt.Errorf("read token: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return token{}, fmt.Errorf("read token: %s is empty", file)
	}
	return token{text: text}, nil
}

// endpoint is a token endpoint and who we are to it.
type endpoint struct {
	url    string
	id     string
	header func() string // Authorization
	form   url.Values
	http   *http.Client
	stores *stores // nil for the authorities of the system

	attempts   int
	pause, top time.Duration
}

func newEndpoint(u *url.URL, options, props map[string]string) (*endpoint, error) {
	either := func(key, option string) string {
		if value := strings.TrimSpace(props[key]); value != "" {
			return value
		}
		return options[option]
	}
	id, secret, scope := either(oauthClientID, "clientId"), either(oauthClientSecret, "clientSecret"), either(oauthScope, "scope")
	if id == "" || secret == "" {
		return nil, errors.New("read sasl.jaas.config: options clientId and clientSecret are not set, nor are " +
			"sasl.oauthbearer.client.credentials.client.id and .client.secret")
	}
	e := &endpoint{url: u.String(), id: id, form: url.Values{"grant_type": {"client_credentials"}}, attempts: 3}
	if scope != "" {
		e.form.Set("scope", scope)
	}
	if strings.EqualFold(strings.TrimSpace(props["sasl.oauthbearer.header.urlencode"]), "true") {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	e.header = func() string { return header }
	var connect, read time.Duration
	for _, t := range []struct {
		key    string
		def    time.Duration
		target *time.Duration
	}{
		{"sasl.login.connect.timeout.ms", 10 * time.Second, &connect},
		{"sasl.login.read.timeout.ms", 10 * time.Second, &read},
		{"sasl.login.retry.backoff.ms", 100 * time.Millisecond, &e.pause},
		{"sasl.login.retry.backoff.max.ms", 10 * time.Second, &e.top},
	} {
		*t.target = t.def
		if value := strings.TrimSpace(props[t.key]); value != "" {
			ms, err := strconv.ParseInt(value, 10, 64)
			if err != nil || ms < 0 || ms > 24*3600*1000 {
				return nil, fmt.Errorf("read %s: %q is not a number of milliseconds up to a day", t.key, value)
			}
			*t.target = time.Duration(ms) * time.Millisecond
		}
	}
	return e, e.connectBy(options, connect, read)
}

// connectBy sets up HTTP. The ssl.* options of the login module are for the endpoint, as in Kafka; those beside it
// are for the brokers.
func (e *endpoint) connectBy(options map[string]string, connect, read time.Duration) error {
	ssl := make(map[string]string)
	for name, value := range options {
		if strings.HasPrefix(name, "ssl.") {
			ssl[name] = value
		}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, // it is asked once in a token's life
		DialContext: (&net.Dialer{Timeout: connect}).DialContext, TLSHandshakeTimeout: connect,
	}
	if len(ssl) > 0 {
		var err error
		if e.stores, err = openStores(ssl); err != nil {
			return fmt.Errorf("read sasl.jaas.config: %w", err)
		}
		transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			conf := e.stores.current().conf.Clone()
			conf.ServerName = host
			return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: connect}, Config: conf}).DialContext(ctx, network, address)
		}
	}
	e.http = &http.Client{Transport: transport, Timeout: connect + read,
		// A redirect would carry the secret to a place that nobody has named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return nil
}

// fetch asks for a token, again where the endpoint is not to be reached or in trouble.
func (e *endpoint) fetch(ctx context.Context) (token, error) {
	pause := e.pause
	for attempt := 1; ; attempt++ {
		t, again, err := e.once(ctx)
		if err == nil || !again || attempt == e.attempts {
			return t, err
		}
		if wait(ctx, min(pause, e.top)) != nil {
			return token{}, err
		}
		pause *= 2
	}
}

func (e *endpoint) once(ctx context.Context) (t token, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, strings.NewReader(e.form.Encode()))
	if err != nil {
		return token{}, false, fmt.Errorf("ask %s for a token: not a URL", e.url)
	}
	req.Header.Set("Authorization", e.header())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	now := time.Now()
	resp, err := e.http.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return token{}, true, e.failed(Unreachable, explainReach(err), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostToken))
	if err != nil {
		return token{}, true, e.failed(Unreachable, "the answer broke off", err)
	}
	var answer struct {
		Token string  `json:"access_token"`
		Lasts float64 `json:"expires_in"`
		Code  string  `json:"error"`
		Why   string  `json:"error_description"`
	}
	_ = json.Unmarshal(body, &answer) // an answer without a token is judged by its status
	switch {
	case resp.StatusCode == http.StatusOK && answer.Token != "":
		return tokenOf(answer.Token, time.Duration(min(max(answer.Lasts, 0), 1<<31))*time.Second, now), false, nil
	case resp.StatusCode == http.StatusOK:
		return token{}, false, e.failed(Authentication, "the answer has no access_token", nil)
	}
	kind, why := Authentication, "it answered "+resp.Status
	if answer.Code != "" { // RFC 6749 §5.2; the body may be anything else, and is not repeated
		why += ": " + strings.TrimSuffix(answer.Code+": "+answer.Why, ": ")
	}
	if again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests; again {
		kind = Unreachable
	}
	return token{}, again, e.failed(kind, why, nil)
}

func (e *endpoint) failed(kind Kind, why string, err error) error {
	shown, _, _ := strings.Cut(e.url, "?")
	if u, parseErr := url.Parse(shown); parseErr == nil {
		shown = u.Redacted()
	}
	if tlsReason(err) != "" {
		kind, why = Authentication, "TLS handshake failed: "+tlsReason(err)
	}
	return &connectionError{kind, fmt.Sprintf("no token of %s for %s: %s", shown, e.id, why), err}
}

// explainReach is why an HTTP server was not reached.
func explainReach(err error) string {
	if isUnreachable(err) {
		return explainUnreachable(err)
	}
	return err.Error()
}
