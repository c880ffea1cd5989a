package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"

	"tandem/internal/stream"
)

func dialError(address string, number syscall.Errno) error {
	ip, _ := net.ResolveTCPAddr("tcp", address)
	return &net.OpError{Op: "dial", Net: "tcp", Addr: ip, Err: os.NewSyscallError("connect", number)}
}

func TestErrorsAreClassifiedAndExplained(t *testing.T) {
	refused := dialError("127.0.0.1:9092", syscall.ECONNREFUSED)
	message := "Unable to replicate the partition 3 time(s)"
	for _, test := range []struct {
		name string
		err  error
		kind Kind
		line string
	}{
		{"none", nil, Other, ""},
		{"wrong password, franz-go", fmt.Errorf("ping: %w", kerr.SaslAuthenticationFailed), Authentication,
			"authentication failed: SASL_AUTHENTICATION_FAILED: SASL Authentication failed."},
		{"wrong password, sarama, with the broker's reason, after trying all brokers",
			sarama.Wrap(sarama.ErrOutOfBrokers, sarama.Wrap(sarama.ErrSASLAuthenticationFailed, errors.New("Invalid credentials"))),
			Authentication, "authentication failed: Invalid credentials"},
		{"wrong password at one broker while another is away",
			sarama.Wrap(sarama.ErrOutOfBrokers, refused, sarama.Wrap(sarama.ErrSASLAuthenticationFailed, errors.New("Invalid credentials"))),
			Authentication, "authentication failed: Invalid credentials"},
		{"wrong password, bare code", sarama.ErrSASLAuthenticationFailed, Authentication,
			"authentication failed: SASL_AUTHENTICATION_FAILED: SASL Authentication failed."},
		{"no such mechanism", fmt.Errorf("open: %w", sarama.ErrUnsupportedSASLMechanism), Authentication,
			"authentication failed: UNSUPPORTED_SASL_MECHANISM: The broker does not support the requested SASL mechanism."},
		{"certificate of an unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, Authentication,
			"TLS handshake failed: x509: certificate signed by unknown authority"},
		{"plaintext listener", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, Authentication,
			"TLS handshake failed: the listener does not speak TLS (check security.protocol and the port)"},
		{"a topic right", fmt.Errorf("create topic x: %w", brokerError(29, nil)), Authorization, "not authorized: create topic x: TOPIC_AUTHORIZATION_FAILED: Not authorized to access topics: [Topic authorization failed.] (mirror check FILE names each missing right)"},
		{"a cluster right, sarama", fmt.Errorf("x: %w", sarama.ErrClusterAuthorizationFailed), Authorization,
			"not authorized: CLUSTER_AUTHORIZATION_FAILED: Cluster authorization failed. (mirror check FILE names each missing right)"},
		{"refused", sarama.Wrap(sarama.ErrOutOfBrokers, refused), Unreachable, "cannot reach 127.0.0.1:9092: connection refused"},
		{"refused everywhere", sarama.Wrap(sarama.ErrOutOfBrokers, refused, dialError("127.0.0.1:9093", syscall.ECONNREFUSED), refused), Unreachable,
			"cannot reach 127.0.0.1:9092: connection refused (and 1 more)"},
		{"dial timeout", &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9092}, Err: os.ErrDeadlineExceeded}, Unreachable,
			"cannot reach 10.0.0.1:9092: timed out"},
		{"unknown host", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "nowhere.example", IsNotFound: true}}, Unreachable,
			"cannot reach nowhere.example: host name not found"},
		{"connection closed", fmt.Errorf("fetch: %w", io.EOF), Unreachable,
			"the broker closed the connection (it stopped, or its listener expects another security.protocol)"},
		{"no broker left", sarama.ErrOutOfBrokers, Unreachable, "no broker can be reached"},
		{"time over", fmt.Errorf("list topics: %w", context.DeadlineExceeded), Unreachable, "no answer from the cluster in time"},
		{"stopped by us", fmt.Errorf("list topics: %w", context.Canceled), Other, "list topics: context canceled"},
		{"closed by us", errClosed, Other, "admin client is closed: " + sarama.ErrClosedClient.Error()},
		{"no topic", fmt.Errorf("read topic x: %w", ErrUnknownTopic), UnknownTopic, "topic does not exist"},
		{"no topic, by code", brokerError(3, nil), UnknownTopic, "topic does not exist"},
		{"no topic, by id", kerr.UnknownTopicID, UnknownTopic, "topic does not exist"},
		{"an election", brokerError(6, nil), Retriable, "NOT_LEADER_FOR_PARTITION: This server is not the leader for that topic-partition."},
		{"too few replicas", sarama.ErrNotEnoughReplicas, Retriable, ""},
		{"half an answer", sarama.ErrIncompleteResponse, Retriable, ""},
		{"the broker's words", fmt.Errorf("create topic x: %w", brokerError(38, &message)), Other, "INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s)"},
		{"a code that nobody knows", &stream.BrokerError{Code: 9999, Name: "ERROR_9999"}, Other, ""},
		{"several, one of which needs a person", errors.Join(brokerError(6, nil), brokerError(29, nil)), Authorization, ""},
		{"rights at one broker, a wrong password at another", errors.Join(brokerError(29, nil), kerr.SaslAuthenticationFailed), Authentication, ""},
		{"lines and tabs", errors.New("a\n\tb  c"), Other, "a b c"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if kind := Classify(test.err); kind != test.kind {
				t.Errorf("kind %d, want %d", kind, test.kind)
			}
			if line := Explain(test.err); test.line != "" && line != test.line {
				t.Errorf("explained\n%s\nwant\n%s", line, test.line)
			}
		})
	}
}

func TestAnExplanationIsOneShortLine(t *testing.T) {
	line := Explain(errors.New(strings.Repeat("a long\nstory ü ", 1000)))
	if strings.ContainsAny(line, "\n\t") || len(line) > 410 || !strings.HasSuffix(line, "...") {
		t.Errorf("%d bytes: %q", len(line), line)
	}
}

// Every code of the protocol that Kafka calls retriable is retriable, or stands for a topic that is not there.
func TestRetriableCodesAreKafkas(t *testing.T) {
	for code := int16(1); code < 200; code++ {
		known := kerr.TypedErrorForCode(code)
		if known == nil || known.Code != code {
			continue
		}
		kind := classifyCode(code)
		if known.Retriable && kind != Retriable && kind != UnknownTopic {
			t.Errorf("%s is retriable for Kafka, kind %d here", known.Message, kind)
		}
		if !known.Retriable && kind == Retriable {
			t.Errorf("%s is final for Kafka, retriable here", known.Message)
		}
	}
}
