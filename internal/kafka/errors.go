package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tandem/internal/stream"
)

// ErrUnknownTopic says that the cluster has no such topic, or shows it to nobody with our rights.
var ErrUnknownTopic = errors.New("topic does not exist")

// Kind is what an error asks for.
type Kind int8

// The kinds of errors.
const (
	Other          Kind = iota // none of the following: a person has to read it
	Authentication             // the cluster does not accept who we are, or we do not accept it: fix the settings
	Authorization              // we are known and may not do this: grant the operation
	Unreachable                // no broker answers: try again, it may come back
	UnknownTopic               // the topic is not there
	Retriable                  // the cluster says, by its answer, that trying again can help
)

// Classify says what err asks for.
func Classify(err error) Kind {
	if err == nil || errors.Is(err, context.Canceled) {
		return Other // we stopped it ourselves
	}
	if errors.Is(err, ErrUnknownTopic) {
		return UnknownTopic
	}
	if kind, ok := classifyCodes(err); ok {
		return kind // what a broker said outweighs how the connection ended after it
	}
	if hinted, ok := errors.AsType[*connectionError](err); ok {
		return hinted.kind
	}
	if tlsReason(err) != "" {
		return Authentication // Kafka's own clients count a failed handshake as a failed authentication
	}
	if isUnreachable(err) {
		return Unreachable
	}
	switch {
	case errors.Is(err, sarama.ErrClosedClient), errors.Is(err, kgo.ErrClientClosed):
		return Other // closed by ourselves: no retry opens it again
	case errors.Is(err, sarama.ErrIncompleteResponse), errors.Is(err, sarama.ErrControllerNotAvailable):
		return Retriable // an election is under way
	case kgo.IsRetryableBrokerErr(err):
		return Retriable // what franz-go itself would try again, had it time left
	}
	return Other
}

// classifyCodes looks for protocol error codes in err. Of several, one that needs a person wins over one that passes.
func classifyCodes(err error) (Kind, bool) {
	found, kind := false, Other
	walk(err, func(e error) {
		code, ok := codeOf(e)
		if !ok {
			return
		}
		if k := classifyCode(code); !found || rank(k) < rank(kind) {
			found, kind = true, k
		}
	})
	return kind, found
}

// rank orders kinds by how much they need a person.
func rank(k Kind) int {
	switch k {
	case Authentication:
		return 0
	case Authorization:
		return 1
	case Other:
		return 2
	default: // what passes by itself
		return 3
	}
}

// classifyCode sorts the error codes of Kafka's protocol.
func classifyCode(code int16) Kind {
	switch code {
	case kerr.SaslAuthenticationFailed.Code, // wrong user or password
		kerr.UnsupportedSaslMechanism.Code, // the listener has other mechanisms
		kerr.IllegalSaslState.Code:         // the listener expects, or does not expect, SASL
		return Authentication
	case kerr.TopicAuthorizationFailed.Code,
		kerr.GroupAuthorizationFailed.Code,
		kerr.ClusterAuthorizationFailed.Code,
		kerr.TransactionalIDAuthorizationFailed.Code,
		kerr.DelegationTokenAuthorizationFailed.Code:
		return Authorization
	case kerr.UnknownTopicOrPartition.Code, // Kafka calls it retriable, since a new topic takes a moment to be known everywhere
		kerr.UnknownTopicID.Code: // deleted, or made anew
		return UnknownTopic
	}
	if known := kerr.TypedErrorForCode(code); known != nil && known.Retriable {
		return Retriable
	}
	return Other
}

// codeOf reads the protocol error code of exactly e, in the shape of any of the three libraries.
func codeOf(e error) (int16, bool) {
	switch e := e.(type) {
	case *stream.BrokerError:
		return int16(e.Code), true
	case sarama.KError:
		return int16(e), true
	case *kerr.Error:
		return e.Code, true
	}
	// sarama wraps an authentication error and the broker's reason in a type of its own that answers Is and hides As.
	for _, k := range []sarama.KError{sarama.ErrSASLAuthenticationFailed, sarama.ErrUnsupportedSASLMechanism, sarama.ErrIllegalSASLState} {
		if x, ok := e.(interface{ Is(error) bool }); ok && x.Is(k) {
			return int16(k), true
		}
	}
	return 0, false
}

// walk visits err and everything it wraps.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	visit(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}

// isUnreachable says that a connection could not be made or ended without an answer. An end right after it began is
// often a listener that speaks another security.protocol, but a broker that stops looks just the same, so it counts as
// unreachable and Explain has the hint.
func isUnreachable(err error) bool {
	var network *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &network):
		return true // refused, reset, no route, unknown host
	case errors.As(err, &timeout) && timeout.Timeout():
		return true // a context that ended counts too: nobody answered in time
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE):
		return true // the broker closed the connection
	case errors.Is(err, sarama.ErrOutOfBrokers), errors.Is(err, sarama.ErrNotConnected), errors.Is(err, sarama.ErrBrokerNotFound):
		return true // sarama has no broker left to ask
	}
	return false
}

// tlsReason is why a TLS handshake failed, "" when that is not what happened.
func tlsReason(err error) string {
	if verification, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return verification.Err.Error()
	}
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return authority.Error()
	case errors.As(err, &host):
		return host.Error()
	case errors.As(err, &invalid):
		return invalid.Error()
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the listener does not speak TLS (check security.protocol and the port)"
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "remote error" { // how crypto/tls reports an alert of the other side
		return "the broker refused: " + network.Err.Error()
	}
	return ""
}

// Explain is err as one short line for a person: what is wrong, not the way the error took. It holds no secrets.
func Explain(err error) string {
	if err == nil {
		return ""
	}
	kind := Classify(err)
	if hinted, ok := errors.AsType[*connectionError](err); ok && kind == hinted.kind {
		return oneLine(hinted.says)
	}
	switch kind {
	case Authentication:
		if reason := tlsReason(err); reason != "" {
			return oneLine("TLS handshake failed: " + reason)
		}
		words := brokerWords(err)
		if strings.HasPrefix(words, kerr.IllegalSaslState.Message) {
			words += " (the listener may not ask for a login: check security.protocol and the port)"
		}
		return oneLine("authentication failed: " + words)
	case Authorization:
		words := brokerWords(err)
		name, _, _ := strings.Cut(words, ":")
		before, _, found := strings.Cut(err.Error(), name)
		if !found {
			before = ""
		}
		return oneLine("not authorized: " + before + words + " (mirror check FILE names each missing right)") // what was to be done, and to what, stands before
	case Unreachable:
		return oneLine(explainUnreachable(err))
	case UnknownTopic:
		return oneLine(ErrUnknownTopic.Error())
	case Retriable, Other: // the broker's own words say most
	}
	if words := brokerWords(err); words != "" {
		return oneLine(words)
	}
	return oneLine(err.Error())
}

// brokerWords is a protocol error of err in the broker's own words where it gave some, else by Kafka's name and
// description of its code.
func brokerWords(err error) string {
	var words string
	walk(err, func(e error) {
		code, ok := codeOf(e)
		if !ok {
			return
		}
		if inner := errors.Unwrap(e); inner != nil { // sarama: a code around the broker's reason; the innermost is the plainest
			words = inner.Error()
			return
		}
		if words != "" {
			return
		}
		if b, ok := e.(*stream.BrokerError); ok && b.Message != "" {
			words = b.Error()
			return
		}
		words = fmt.Sprintf("error code %d", code)
		if known := kerr.TypedErrorForCode(code); known != nil {
			words = known.Error()
		}
	})
	return words
}

// explainUnreachable names the first address that was tried, and why it failed.
func explainUnreachable(err error) string {
	var first *net.OpError
	more := make(map[string]bool)
	walk(err, func(e error) {
		network, ok := e.(*net.OpError)
		if !ok || network.Addr == nil && network.Op != "dial" {
			return
		}
		if first == nil {
			first = network
		} else if network.Addr != nil {
			more[network.Addr.String()] = true
		}
	})
	if first == nil {
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
			return "the broker closed the connection (it stopped, or its listener expects another security.protocol)"
		case errors.Is(err, context.DeadlineExceeded):
			return "no answer from the cluster in time"
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "no answer from the cluster in time"
		}
		return "no broker can be reached"
	}
	address, why := "", connectionReason(first)
	if first.Addr != nil {
		address = first.Addr.String()
		delete(more, address)
	}
	if name, ok := errors.AsType[*net.DNSError](first); ok {
		address, why = name.Name, "host name not found"
		if name.IsTimeout {
			why = "name server did not answer"
		}
	}
	line := fmt.Sprintf("cannot reach %s: %s", address, why)
	if len(more) > 0 {
		line += fmt.Sprintf(" (and %d more)", len(more))
	}
	return line
}

// connectionReason is the operating system's reason without Go's own words around it.
func connectionReason(e *net.OpError) string {
	var number syscall.Errno
	switch {
	case e.Timeout():
		return "timed out"
	case errors.As(e, &number):
		return number.Error()
	case e.Err != nil:
		return e.Err.Error()
	}
	return e.Op + " failed"
}

// oneLine folds white space and bounds the length: an explanation is one line of a log.
func oneLine(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
