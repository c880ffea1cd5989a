package kafka

import (
	"errors"
	"fmt"
	"strings"
)

// jaasLogin is one entry of a JAAS configuration:
//
//	org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="...";
type jaasLogin struct {
	module  string
	options map[string]string
}

// parseJAAS reads a sasl.jaas.config of exactly one login module, as Kafka demands. Errors name options and positions,
// never values.
func parseJAAS(config string) (jaasLogin, error) {
	s := jaasScanner{in: config}
	module, err := s.next()
	if err != nil {
		return jaasLogin{}, err
	}
	if module.kind != jaasWord {
		return jaasLogin{}, errors.New("login module not specified")
	}
	flag, err := s.next()
	if err != nil {
		return jaasLogin{}, err
	}
	switch strings.ToLower(flag.text) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return jaasLogin{}, errors.New("the login module must be followed by required, requisite, sufficient or optional")
	}
	login := jaasLogin{module: module.text, options: make(map[string]string)}
	for {
		name, err := s.next()
		if err != nil {
			return jaasLogin{}, err
		}
		switch {
		case name.kind == jaasEnd:
			return jaasLogin{}, errors.New("the entry does not end with a semicolon")
		case name.is(";"):
			return login, s.expectEnd()
		case name.kind != jaasWord:
			return jaasLogin{}, fmt.Errorf("no option name at position %d", name.at)
		}
		equals, err := s.next()
		if err != nil {
			return jaasLogin{}, err
		}
		value, err := s.next()
		if err != nil {
			return jaasLogin{}, err
		}
		if !equals.is("=") || value.kind != jaasWord && value.kind != jaasQuoted {
			return jaasLogin{}, fmt.Errorf("no value for the option at position %d", name.at)
		}
		login.options[name.text] = value.text
	}
}

// jaasKind tells tokens apart.
type jaasKind int8

const (
	jaasEnd jaasKind = iota
	jaasWord
	jaasQuoted
	jaasMark // = or ;
)

type jaasToken struct {
	kind jaasKind
	text string
	at   int // byte position, for errors
}

func (t jaasToken) is(mark string) bool { return t.kind == jaasMark && t.text == mark }

// jaasScanner cuts a JAAS configuration into tokens by the rules of the Java tokenizer that Kafka uses: quotes of both
// kinds with backslash escapes, and comments of both kinds. Unquoted values may be anything up to a blank, = or ;, where
// Java would refuse a number.
type jaasScanner struct {
	in string
	at int
}

func (s *jaasScanner) next() (jaasToken, error) {
	if err := s.skipBlanks(); err != nil {
		return jaasToken{}, err
	}
	if s.at == len(s.in) {
		return jaasToken{kind: jaasEnd, at: s.at}, nil
	}
	start := s.at
	switch c := s.in[s.at]; c {
	case '=', ';':
		s.at++
		return jaasToken{kind: jaasMark, text: string(c), at: start}, nil
	case '"', '\'':
		return s.quoted(c)
	}
	for s.at < len(s.in) && !strings.ContainsRune(" \t\r\n\f=;\"'", rune(s.in[s.at])) {
		s.at++
	}
	return jaasToken{kind: jaasWord, text: s.in[start:s.at], at: start}, nil
}

// skipBlanks passes over white space and comments.
func (s *jaasScanner) skipBlanks() error {
	for s.at < len(s.in) {
		rest := s.in[s.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f", rest[0]) >= 0:
			s.at++
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			s.at += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return fmt.Errorf("the comment at position %d does not end", s.at)
			}
			s.at += end + len("*/")
		default:
			return nil
		}
	}
	return nil
}

// quoted reads a string between two quotes, which may not span lines.
func (s *jaasScanner) quoted(quote byte) (jaasToken, error) {
	start := s.at
	var text strings.Builder
	for s.at++; s.at < len(s.in) && s.in[s.at] != '\n' && s.in[s.at] != '\r'; s.at++ {
		switch c := s.in[s.at]; c {
		case quote:
			s.at++
			return jaasToken{kind: jaasQuoted, text: text.String(), at: start}, nil
		case '\\':
			s.escape(&text)
		default:
			text.WriteByte(c)
		}
	}
	return jaasToken{}, fmt.Errorf("the quote at position %d does not end", start)
}

// escape reads what follows a backslash: up to three octal digits, one of the letters for control characters, or a
// character that stands for itself.
func (s *jaasScanner) escape(text *strings.Builder) {
	if s.at+1 == len(s.in) {
		return // the loop of quoted ends with its error
	}
	s.at++
	c := s.in[s.at]
	if c >= '0' && c <= '7' {
		value, most := int(c-'0'), 2
		if c <= '3' {
			most = 3
		}
		for n := 1; n < most && s.at+1 < len(s.in) && s.in[s.at+1] >= '0' && s.in[s.at+1] <= '7'; n++ {
			s.at++
			value = value*8 + int(s.in[s.at]-'0')
		}
		text.WriteRune(rune(value))
		return
	}
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		c = "\a\b\f\n\r\t\v"[i]
	}
	text.WriteByte(c)
}

// expectEnd refuses a second login module: Kafka's clients take exactly one.
func (s *jaasScanner) expectEnd() error {
	rest, err := s.next()
	if err == nil && rest.kind != jaasEnd {
		err = errors.New("more than one login module")
	}
	return err
}
