package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hidden stands in for a secret.
const hidden = "[hidden]"

// secretWords mark a key as secret, wherever in the key they stand.
var secretWords = []string{
	"password", "passwd", "passphrase", "secret", "jaas", "token", "credential", "private", "keystore.key",
	"certificate.chain", "truststore.certificates", "auth.user.info", "apikey", "api.key", "access.key", "account.key",
}

func secret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(key, w) })
}

var (
	onlyPlaceholders = regexp.MustCompile(`^(\$\{[^}]*\}\s*)+$`)
	userInURL        = regexp.MustCompile(`://[^/@\s]*@`)
)

// Redact quotes a value for people to read. The value of a secret key is hidden, unless it consists of placeholders such
// as ${env:NAME} alone; so is a password inside a URL.
func Redact(key, value string) string {
	if secret(key) && !onlyPlaceholders.MatchString(value) {
		return hidden
	}
	return strconv.Quote(userInURL.ReplaceAllString(value, "://"+hidden+"@"))
}

// Properties are the settings of one client, as a Java client would be given them. However they are printed, secrets
// stay hidden.
type Properties map[string]string

// String lists the properties by key.
func (p Properties) String() string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(k + "=" + p.redacted(k))
	}
	return "{" + b.String() + "}"
}

// Format covers every verb of fmt, %#v among them.
func (p Properties) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(p.String())) }

// MarshalJSON keeps secrets out of structured logs.
func (p Properties) MarshalJSON() ([]byte, error) {
	out := make(map[string]string, len(p))
	for k := range p {
		out[k] = p.redacted(k)
	}
	return json.Marshal(out)
}

// redacted hides every secret: a resolved value may look like a placeholder by chance.
func (p Properties) redacted(key string) string {
	if secret(key) {
		return hidden
	}
	return Redact(key, p[key])
}
