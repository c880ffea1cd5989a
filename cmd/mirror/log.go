package main

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"tandem/internal/kafka"
	"tandem/internal/stream"
)

// newLogger logs lines for people on a terminal, and JSON where a machine collects them.
func newLogger(to io.Writer, format string, level zapcore.LevelEnabler) (*zap.Logger, error) {
	if format == "" {
		format = "json"
		if file, ok := to.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			format = "console"
		}
	}
	conf := zap.NewProductionEncoderConfig()
	conf.EncodeTime = zapcore.ISO8601TimeEncoder
	conf.TimeKey = "time"
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(conf)
	case "console":
		conf.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		conf.EncodeLevel = zapcore.CapitalLevelEncoder
		conf.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(conf)
	default:
		return nil, cannotRun{fmt.Errorf("--log-format is %q; it must be console or json", format)}
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(to)), level)), nil
}

// reporter writes events to a log.
func reporter(log *zap.Logger) stream.Report {
	return func(e stream.Event) {
		fields := make([]zap.Field, 0, len(e.Fields)+1)
		if e.Flow != (stream.Flow{}) {
			fields = append(fields, zap.String("flow", e.Flow.String()))
		}
		for _, f := range e.Fields {
			if err, ok := f.Value.(error); ok {
				fields = append(fields, zap.String(f.Key, kafka.Explain(err)))
				continue
			}
			fields = append(fields, zap.Any(f.Key, f.Value))
		}
		log.Log(levelOf(e.Severity), e.Message, fields...)
	}
}

func levelOf(s stream.Severity) zapcore.Level {
	switch s {
	case stream.Warn:
		return zapcore.WarnLevel
	case stream.Error:
		return zapcore.ErrorLevel
	default:
		return zapcore.InfoLevel
	}
}
