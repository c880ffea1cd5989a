package kafka

import (
	"context"
	"fmt"
	"slices"

	"github.com/IBM/sarama"
)

// DeleteTopics deletes topics with all that is in them, and answers for each: nil when it is gone or will be in a moment, also when it was
// not there, else the broker's reason. The error is for what went wrong as a whole; topics without an answer are then not in the map.
func (a *Admin) DeleteTopics(ctx context.Context, names []string) (map[string]error, error) {
	results := make(map[string]error, len(names))
	for batch := range slices.Chunk(names, topicsPerRequest) {
		resp, err := ask(ctx, a, controller, func(b *sarama.Broker) (*sarama.DeleteTopicsResponse, error) {
			resp, err := b.DeleteTopics(sarama.NewDeleteTopicsRequest(a.version(), batch, a.brokerTimeout()))
			if err != nil {
				return nil, err
			}
			for _, code := range resp.TopicErrorCodes {
				if code == sarama.ErrNotController { // said of all or none: the request went to the wrong broker
					return nil, code
				}
			}
			return resp, nil
		})
		if err != nil {
			return results, fmt.Errorf("delete %d topics: %w", len(batch), err)
		}
		for _, name := range batch {
			code, ok := resp.TopicErrorCodes[name]
			switch {
			case !ok:
				results[name] = fmt.Errorf("delete topic %s: %w", name, sarama.ErrIncompleteResponse)
			case code == sarama.ErrNoError, code == sarama.ErrUnknownTopicOrPartition:
				results[name] = nil
			default:
				results[name] = fmt.Errorf("delete topic %s: %w", name, brokerError(int16(code), nil))
			}
		}
	}
	return results, nil
}
