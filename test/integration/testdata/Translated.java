import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;

import org.apache.kafka.connect.mirror.MirrorClient;
import org.apache.kafka.connect.mirror.RemoteClusterUtils;

// Translated asks MM2's own client where groups go on: java Translated.java BOOTSTRAP ALIAS GROUP...
// It prints a line for each partition: GROUP TOPIC-PARTITION OFFSET.
public class Translated {
    public static void main(String[] args) throws Exception {
        Map<String, Object> props = Map.of("bootstrap.servers", args[0]);
        for (int i = 2; i < args.length; i++) {
            String group = args[i];
            RemoteClusterUtils.translateOffsets(props, args[1], group, Duration.ofSeconds(60))
                .forEach((partition, offset) -> System.out.println(group + " " + partition + " " + offset.offset()));
        }
        try (MirrorClient client = new MirrorClient(props)) {
            System.out.println("checkpointTopics " + client.checkpointTopics());
        }
    }
}
