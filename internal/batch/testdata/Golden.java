// Writes kafka-4.3.1.txt: batches made by Kafka's own classes and the records that Kafka's own reader finds in them.
// java -cp 'kafka-4.3.1/libs/*' Golden.java > kafka-4.3.1.txt
// With file names as arguments it instead prints the records of the batches in those files.

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.HexFormat;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

public class Golden {
    static final long T = 1_700_000_000_000L;

    static String hex(ByteBuffer b) {
        if (b == null) return "null";
        byte[] out = new byte[b.remaining()];
        b.duplicate().get(out);
        return "\"" + HexFormat.of().formatHex(out) + "\"";
    }

    static void print(MemoryRecords records) {
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            for (org.apache.kafka.common.record.internal.Record r : batch) {
                StringBuilder s = new StringBuilder("record " + r.offset() + " " + r.timestamp() + " " + hex(r.key()) + " " + hex(r.value()));
                for (Header h : r.headers())
                    s.append(" ").append(hex(ByteBuffer.wrap(h.key().getBytes(StandardCharsets.UTF_8))))
                        .append(" ").append(hex(h.value() == null ? null : ByteBuffer.wrap(h.value())));
                System.out.println(s);
            }
        }
    }

    static void batch(String name, byte magic, Compression codec, TimestampType type, boolean tx, long horizon, long[] offsets) {
        MemoryRecordsBuilder b = new MemoryRecordsBuilder(new ByteBufferOutputStream(1024), magic, codec, type, 100, T + 77_000,
            tx ? 4711 : -1, (short) (tx ? 3 : -1), tx ? 99 : -1, tx, false, 7, 1 << 20, horizon);
        for (long o : offsets) {
            int i = (int) (o - 100);
            byte[] key = i % 3 == 1 ? null : ("key-" + i).getBytes();
            byte[] value = i % 4 == 2 ? null : i % 4 == 3 ? new byte[0] : ("value of " + o + " ").repeat(i * 3 + 1).getBytes();
            Header[] headers = magic < 2 || i % 2 == 0 ? new Header[0] : new Header[] {
                new RecordHeader("h", new byte[] {1, 2}), new RecordHeader("h", null), new RecordHeader("", new byte[0])};
            b.appendWithOffset(o, T + (i * 7919) % 1000 - 500, key, value, headers);
        }
        show(name, b.build());
    }

    static void show(String name, MemoryRecords records) {
        System.out.println("batch " + name.replace(' ', '_') + " " + hex(records.buffer()).replace("\"", ""));
        print(records);
    }

    public static void main(String[] args) throws Exception {
        for (String f : args)
            print(MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(new File(f).toPath()))));
        if (args.length > 0) return;
        long[] five = {100, 101, 102, 103, 104}, holes = {101, 102, 104, 109};
        Compression[] codecs = {Compression.NONE, Compression.gzip().build(), Compression.snappy().build(), Compression.lz4().build(), Compression.zstd().build()};
        for (Compression c : codecs) {
            batch("v2 " + c.type(), (byte) 2, c, TimestampType.CREATE_TIME, false, -1, five);
            batch("v2 transactional " + c.type(), (byte) 2, c, TimestampType.CREATE_TIME, true, -1, five);
            batch("v2 LogAppendTime " + c.type(), (byte) 2, c, TimestampType.LOG_APPEND_TIME, false, -1, five);
            batch("v2 delete horizon " + c.type(), (byte) 2, c, TimestampType.CREATE_TIME, false, T + 99_000_000, holes);
            batch("v2 delete horizon, no holes " + c.type(), (byte) 2, c, TimestampType.CREATE_TIME, false, T + 99_000_000, five);
            if (c.type() == CompressionType.ZSTD) continue;
            batch("v0 " + c.type(), (byte) 0, c, TimestampType.NO_TIMESTAMP_TYPE, false, -1, five);
            batch("v0 holes " + c.type(), (byte) 0, c, TimestampType.NO_TIMESTAMP_TYPE, false, -1, holes);
            batch("v1 " + c.type(), (byte) 1, c, TimestampType.CREATE_TIME, false, -1, five);
            batch("v1 holes " + c.type(), (byte) 1, c, TimestampType.CREATE_TIME, false, -1, holes);
            batch("v1 LogAppendTime " + c.type(), (byte) 1, c, TimestampType.LOG_APPEND_TIME, false, -1, five);
        }
        for (ControlRecordType t : new ControlRecordType[] {ControlRecordType.ABORT, ControlRecordType.COMMIT})
            show("marker " + t, MemoryRecords.withEndTransactionMarker(100, T, 7, 4711, (short) 3, new EndTransactionMarker(t, 5)));
    }
}
