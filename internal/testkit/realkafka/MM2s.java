import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.connect.mirror.MirrorMaker;

// MM2s runs MirrorMaker 2 for several files in one JVM, as its own main does for one: java MM2s.java FOLDER. Whatever file
// NAME.properties appears in the folder is run; when it is gone, that MirrorMaker 2 is stopped. NAME.running is there while it runs.
public class MM2s {
    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Map<Path, MirrorMaker> running = new HashMap<>();
        while (true) {
            List<Path> files;
            try (var all = Files.list(folder)) {
                files = all.filter(f -> f.toString().endsWith(".properties")).toList();
            }
            for (Path file : files) {
                if (!running.containsKey(file)) {
                    MirrorMaker mm2 = new MirrorMaker(Utils.propsToStringMap(Utils.loadProps(file.toString())), null);
                    mm2.start();
                    running.put(file, mm2);
                    Files.createFile(mark(file));
                }
            }
            for (Path file : List.copyOf(running.keySet())) {
                if (!files.contains(file)) {
                    MirrorMaker mm2 = running.remove(file);
                    mm2.stop();
                    mm2.awaitStop();
                    Files.delete(mark(file));
                }
            }
            Thread.sleep(50);
        }
    }

    private static Path mark(Path file) {
        return Path.of(file.toString().replaceFirst("properties$", "running"));
    }
}
