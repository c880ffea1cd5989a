package realkafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waitForBrokers asks one broker for metadata until it names a controller and at least n brokers.
func waitForBrokers(ctx context.Context, address string, n int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		last := askForBrokers(ctx, client, n)
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), last)
		}
	}
}

func askForBrokers(ctx context.Context, client *kgo.Client, n int) error {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	response, err := client.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	metadata := response.(*kmsg.MetadataResponse)
	if len(metadata.Brokers) < n || metadata.ControllerID < 0 {
		return fmt.Errorf("%d of %d brokers, controller %d", len(metadata.Brokers), n, metadata.ControllerID)
	}
	return nil
}
