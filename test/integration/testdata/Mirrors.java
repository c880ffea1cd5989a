import java.util.Map;
import java.util.TreeSet;

import org.apache.kafka.connect.mirror.MirrorClient;
import org.apache.kafka.connect.mirror.RemoteClusterUtils;

// Mirrors asks MM2's own client what it sees on a cluster: java Mirrors.java BOOTSTRAP ALIAS.
public class Mirrors {
    public static void main(String[] args) throws Exception {
        Map<String, Object> props = Map.of("bootstrap.servers", args[0]);
        System.out.println("heartbeatTopics " + new TreeSet<>(RemoteClusterUtils.heartbeatTopics(props)));
        System.out.println("upstreamClusters " + new TreeSet<>(RemoteClusterUtils.upstreamClusters(props)));
        System.out.println("replicationHops " + RemoteClusterUtils.replicationHops(props, args[1]));
        try (MirrorClient client = new MirrorClient(props)) {
            System.out.println("remoteTopics " + new TreeSet<>(client.remoteTopics(args[1])));
        }
    }
}
