// Command saramacopier is the plain way to copy a topic in Go: one partition consumer a partition, one asynchronous
// producer, every record decoded and encoded again. The bench measures what Tandem saves against it. It keeps keys, values,
// headers, timestamps and partitions, knows neither positions nor failures, and runs until it is told to stop.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/IBM/sarama"
)

func main() {
	source := flag.String("source", "", "bootstrap servers of the source cluster")
	target := flag.String("target", "", "bootstrap servers of the target cluster")
	topic := flag.String("topic", "", "topic to copy")
	remote := flag.String("remote", "", "topic to write, with as many partitions")
	codec := flag.String("codec", "none", "compression of what is written")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	config, err := settings(*codec)
	if err == nil {
		err = run(ctx, config, strings.Split(*source, ","), strings.Split(*target, ","), *topic, *remote)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "saramacopier:", err)
		os.Exit(1)
	}
}

// settings is sarama tuned as MirrorMaker 2 is in the bench: batches of 512 KiB, fetches of 4 MiB, 20 ms of patience.
func settings(codec string) (*sarama.Config, error) {
	config := sarama.NewConfig()
	config.Version = sarama.V4_0_0_0
	config.ChannelBufferSize = 4096
	config.Consumer.Fetch.Default = 4 << 20
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Flush.Bytes = 512 << 10
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	return config, config.Producer.Compression.UnmarshalText([]byte(codec))
}

func run(ctx context.Context, config *sarama.Config, source, target []string, topic, remote string) error {
	consumer, err := sarama.NewConsumer(source, config)
	if err != nil {
		return fmt.Errorf("connect to source: %w", err)
	}
	defer consumer.Close()
	producer, err := sarama.NewAsyncProducer(target, config)
	if err != nil {
		return fmt.Errorf("connect to target: %w", err)
	}
	numbers, err := consumer.Partitions(topic)
	if err != nil {
		return fmt.Errorf("list partitions of %s: %w", topic, err)
	}
	var wg sync.WaitGroup
	for _, number := range numbers {
		pc, err := consumer.ConsumePartition(topic, number, sarama.OffsetOldest)
		if err != nil {
			return fmt.Errorf("consume %s/%d: %w", topic, number, err)
		}
		wg.Go(func() {
			defer pc.Close()
			copyPartition(ctx, pc, producer, remote)
		})
	}
	failed := make(chan error, 1)
	go func() {
		for e := range producer.Errors() {
			select {
			case failed <- e:
			default:
			}
		}
		close(failed)
	}()
	select {
	case err = <-failed: // a record is lost: the copy is worth nothing
		return fmt.Errorf("produce to %s: %w", remote, err)
	case <-ctx.Done():
	}
	wg.Wait()
	producer.AsyncClose()
	return <-failed
}

func copyPartition(ctx context.Context, from sarama.PartitionConsumer, to sarama.AsyncProducer, remote string) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-from.Messages():
			headers := make([]sarama.RecordHeader, len(m.Headers))
			for i, h := range m.Headers {
				headers[i] = *h
			}
			out := &sarama.ProducerMessage{Topic: remote, Partition: m.Partition, Key: sarama.ByteEncoder(m.Key),
				Value: sarama.ByteEncoder(m.Value), Headers: headers, Timestamp: m.Timestamp}
			select {
			case to.Input() <- out:
			case <-ctx.Done():
				return
			}
		}
	}
}
