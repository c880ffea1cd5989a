package kafka

import (
	"fmt"

	"github.com/xdg-go/scram"
)

// scramClient is one SCRAM conversation (RFC 5802) for sarama, which brings none of its own.
type scramClient struct {
	mechanism    string
	conversation *scram.ClientConversation
}

// Begin starts a conversation; sarama makes a new scramClient for each connection.
func (s *scramClient) Begin(user, password, authzID string) error {
	hash := scram.SHA256
	if s.mechanism == mechanismScram512 {
		hash = scram.SHA512
	}
	client, err := hash.NewClient(user, password, authzID)
	if err != nil {
		// The library's reason may quote what it could not prepare, and that is the password.
		return fmt.Errorf("prepare %s: user name or password has characters that SCRAM does not allow", s.mechanism)
	}
	s.conversation = client.NewConversation()
	return nil
}

// Step answers the broker's challenge.
func (s *scramClient) Step(challenge string) (string, error) { return s.conversation.Step(challenge) }

// Done says that the broker has proved to know the password too.
func (s *scramClient) Done() bool { return s.conversation.Done() }
